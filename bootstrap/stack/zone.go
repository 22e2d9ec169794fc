package stack

// ZoneOf returns the zone of a resource that is in one, or of the server that it is a part
// of. It is empty for resources that span the zones of the region.
func ZoneOf(r Resource) string {
	switch r := r.(type) {
	case *SecurityGroup:
		return r.Zone
	case *FlexibleIP:
		return r.Zone
	case *Server:
		return r.Zone
	case *Volume:
		return r.Zone
	case *Gateway:
		return r.Zone
	case *Pool:
		return r.Zone
	}
	if server := serverOf(r); server != nil {
		return server.Zone
	}
	return ""
}
