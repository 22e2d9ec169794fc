package explain

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/http/httpproxy"
	networkingv1 "k8s.io/api/networking/v1"

	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/inject"
	"egress.scw/webhook/kubectl-egress/state"
)

// ways are the ways out of a pod.
type ways struct {
	tenant *v1alpha1.EgressTenant // nil without one
	// policy is the NetworkPolicy that holds, nil for none.
	policy *networkingv1.NetworkPolicy
	// proxy is the URL of the proxy for new pods, and former that of pods which are older
	// than the tenant's Service: the pod reaches no other. closed is the reason why the
	// proxy accepts no connection there.
	proxy, former, closed string
	// captures is whether the sidecar takes connections to names, but those of direct,
	// and all names below these.
	captures bool
	direct   []string
}

func waysOf(s *state.State, namespace inject.Namespace, sidecar bool) *ways {
	w := &ways{tenant: s.TenantOf(namespace)}
	_, w.policy = policyOf(s, namespace)
	switch {
	case w.tenant == nil || !w.tenant.Spec.IsProxied():
	case sidecar:
		w.proxy, w.captures = inject.RelayURL(), w.tenant.Spec.CapturesNames()
		w.direct = append(s.Cluster.DirectNames(w.tenant), s.Settings.Cluster.Domain, "svc")
		if !w.tenant.Spec.HasSidecar() {
			w.closed = "the tenant has no spec.sidecar, without which the NetworkPolicy admits the sidecar to no proxy: create the pod again"
		}
	default:
		w.proxy, w.former = s.Cluster.ProxyURL(w.tenant), s.Cluster.DirectURL(w.tenant)
		if s.Settings.Proxy.Identity == v1alpha1.IdentityRequired {
			w.closed = "the pod has no sidecar, without which the proxy accepts no connection: create the pod again"
		}
	}
	return w
}

// routeOf returns the route of a URL by a container's variables, as Go's clients read
// them.
func (w *ways) routeOf(container *Container, target Target) Route {
	first := func(names ...string) string {
		for _, name := range names {
			if value := container.values[name]; value != "" {
				return value
			}
		}
		return ""
	}
	if name := container.decidesElsewhere(target); name != "" {
		return Route{Way: WayUnknown, Open: Depends, Message: "the manifest does not state the value of " + name}
	}
	config := httpproxy.Config{
		HTTPProxy: first("HTTP_PROXY", "http_proxy"), HTTPSProxy: first("HTTPS_PROXY", "https_proxy"), NoProxy: first("NO_PROXY", "no_proxy"),
	}
	proxy, err := config.ProxyFunc()(target.URL)
	if err != nil {
		return Route{Way: WayProxy, Proxy: first("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"), Open: Closed, Message: fmt.Sprintf("clients cannot read it: %v", err)}
	}
	if proxy == nil {
		why := "NO_PROXY covers the host"
		if config.HTTPProxy == "" && config.HTTPSProxy == "" {
			why = "the container has no proxy variables"
		}
		if w.captured(target.Host) {
			return w.capturedRoute(why, target)
		}
		return directRoute(why, target, w.policy)
	}
	route := Route{Way: WayProxy, Proxy: proxy.String(), Open: Closed}
	switch {
	case w.tenant == nil || w.policy == nil:
		route.Open, route.Message = Depends, "the namespace belongs to no tenant: the proxy of the container's own variables decides"
	case !slices.Contains([]string{w.proxy, w.former}, strings.TrimSuffix(route.Proxy, "/")):
		route.Message = fmt.Sprintf("%s is not the tenant's proxy %s, and the NetworkPolicy admits no other", route.Proxy, w.proxy)
	case w.closed != "":
		route.Message = w.closed
	default:
		w.judge(&route, target)
	}
	return route
}

// judge adds the proxy's verdict.
func (w *ways) judge(route *Route, target Target) {
	verdict := Allowed(w.tenant, target)
	route.Verdict, route.Message = &verdict, verdict.Message
	if verdict.Passes() {
		route.Open = Open
	}
}

// captured reports whether the sidecar answers for a host. Resolvers complete names of
// one label by the search path of the cluster.
func (w *ways) captured(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if _, err := netip.ParseAddr(host); err == nil || !w.captures || isLoopbackName(host) || !strings.Contains(host, ".") {
		return false
	}
	return !slices.ContainsFunc(w.direct, func(domain string) bool { return host == domain || strings.HasSuffix(host, "."+domain) })
}

// Captured reports whether a new pod of the namespace connects to the host by capture,
// if it asks for the name and uses no proxy variables.
func Captured(s *state.State, namespace inject.Namespace, host string) bool {
	return waysOf(s, namespace, true).captured(host)
}

// capturedRoute is the way of a direct connection to a name, which the sidecar takes on
// the tenant's ports.
func (w *ways) capturedRoute(why string, target Target) Route {
	route := Route{Way: WayCapture, Proxy: w.proxy, Open: Closed}
	if !slices.Contains(w.tenant.Spec.AllowList().Ports, target.Port) {
		route.Message = fmt.Sprintf("%s, and the sidecar takes connections to the ports of spec.allow.ports, of which %d is not one", why, target.Port)
		return route
	}
	w.judge(&route, target)
	route.Message = why + ", and the sidecar takes the connection: " + route.Message
	return route
}
