package scwfake

import (
	"net/http"
	"strings"
)

// route is one operation of the API.
type route struct {
	method string
	// pattern is a path. A segment in braces matches any value; {zone} and
	// {region} must exist.
	pattern string
	// status is the status of a success. 0 is 200.
	status int
	handle func(*call) (any, error)
	// creates is the kind of resource that a POST creates, as quota errors name
	// it. It is empty if the route does not create a resource.
	creates string
	// latency is the operation whose duration is the time until the reply.
	latency Operation

	// segments are those of the pattern.
	segments []string
}

// routes returns all operations. If two patterns match a path, the first one wins.
func (a *API) routes() []route {
	var all []route
	for _, some := range [][]route{
		{{method: http.MethodGet, pattern: metadataPath, handle: a.getMetadata}},
		a.vpcRoutes(), a.privateNetworkRoutes(),
		a.gatewayRoutes(), a.gatewayNetworkRoutes(), a.gatewayIPRoutes(),
		a.ipamRoutes(),
		a.serverRoutes(), a.userDataRoutes(), a.securityGroupRoutes(), a.addressRoutes(),
		a.nicRoutes(), a.productRoutes(), a.volumeRoutes(), a.marketplaceRoutes(),
		a.clusterRoutes(), a.poolRoutes(), a.registryRoutes(),
		a.applicationRoutes(), a.policyRoutes(), a.apiKeyRoutes(),
	} {
		all = append(all, some...)
	}
	for i := range all {
		all[i].segments = strings.Split(all[i].pattern, "/")
	}
	return all
}

// match returns the route for the request, with the values of the segments in
// braces. The error is the answer if there is no route.
func match(routes []route, r *http.Request) (*route, map[string]string, error) {
	var allowed []string
	path := strings.Split(r.URL.Path, "/")
	for i := range routes {
		switch {
		case !matchSegments(routes[i].segments, path):
		case routes[i].method == r.Method:
			return &routes[i], valuesOf(routes[i].segments, path), nil
		default:
			allowed = append(allowed, routes[i].method)
		}
	}
	if len(allowed) > 0 {
		return nil, nil, untyped(http.StatusMethodNotAllowed,
			"scwfake: "+r.Method+" is not served on "+r.URL.Path+", only "+strings.Join(allowed, ", "))
	}
	return nil, nil, untyped(http.StatusNotFound, "scwfake: nothing is served on "+r.URL.Path)
}

func matchSegments(pattern, path []string) bool {
	if len(pattern) != len(path) {
		return false
	}
	for i, segment := range pattern {
		if strings.HasPrefix(segment, "{") && path[i] != "" {
			continue
		}
		if segment != path[i] {
			return false
		}
	}
	return true
}

// valuesOf returns the values of the segments in braces.
func valuesOf(pattern, path []string) map[string]string {
	values := map[string]string{}
	for i, segment := range pattern {
		if name, ok := strings.CutPrefix(segment, "{"); ok {
			values[strings.TrimSuffix(name, "}")] = path[i]
		}
	}
	return values
}
