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
	return all
}

// match returns the route for the request, with the values of the segments in
// braces. The error is the answer if there is no route.
func match(routes []route, r *http.Request) (*route, map[string]string, error) {
	var allowed []string
	for i := range routes {
		values, ok := matchPath(routes[i].pattern, r.URL.Path)
		switch {
		case !ok:
		case routes[i].method == r.Method:
			return &routes[i], values, nil
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

func matchPath(pattern, path string) (map[string]string, bool) {
	want, got := strings.Split(pattern, "/"), strings.Split(path, "/")
	if len(want) != len(got) {
		return nil, false
	}
	values := map[string]string{}
	for i, segment := range want {
		if name, ok := strings.CutPrefix(segment, "{"); ok {
			if got[i] == "" {
				return nil, false
			}
			values[strings.TrimSuffix(name, "}")] = got[i]
		} else if segment != got[i] {
			return nil, false
		}
	}
	return values, true
}
