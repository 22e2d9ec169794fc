package stack

import "slices"

// claim takes the observed resources that a wanted one is compared with, and
// those that are being deleted.
func (d *differ) claim(wanted Resource) (found, deleting []Resource) {
	for _, r := range d.claimAll(wanted) {
		if r.Meta().Deleting {
			deleting = append(deleting, r)
		} else {
			found = append(found, r)
		}
	}
	return found, deleting
}

func (d *differ) claimAll(wanted Resource) []Resource {
	found := d.observed[wanted.Key()]
	delete(d.observed, wanted.Key())
	if wanted.Meta().Existing {
		// A resource that bootstrap created for this purpose before is not wanted
		// any more.
		created := slices.DeleteFunc(slices.Clone(found), func(r Resource) bool { return r.Meta().ID == wanted.Meta().ID })
		if len(created) > 0 {
			d.observed[wanted.Key()] = created
		}
		return slices.DeleteFunc(found, func(r Resource) bool { return r.Meta().ID != wanted.Meta().ID })
	}
	if server := serverOf(wanted); server != nil && !server.exists() {
		return nil // the observed part goes away with the server that is replaced
	}
	found = d.withoutTaken(wanted, d.inItsZone(wanted, found))
	return slices.DeleteFunc(found, func(r Resource) bool {
		// An existing resource that egress.yaml names is never taken for one that
		// bootstrap created. If there are several addresses for one purpose, the
		// attachment of a younger one goes away with it.
		return r.Meta().Existing || !haveSameAddress(wanted, r)
	})
}

// inItsZone returns those of the found resources that can be the wanted one. A security
// group or a flexible address in another zone cannot: it is deleted after the wanted one
// has been made. A server in another zone is replaced.
func (d *differ) inItsZone(wanted Resource, found []Resource) []Resource {
	switch wanted.(type) {
	case *SecurityGroup, *FlexibleIP:
	default:
		return found
	}
	var here, elsewhere []Resource
	for _, r := range found {
		if ZoneOf(r) == ZoneOf(wanted) {
			here = append(here, r)
		} else {
			elsewhere = append(elsewhere, r)
		}
	}
	if len(elsewhere) > 0 {
		d.observed[wanted.Key()] = elsewhere
	}
	return here
}

// withoutTaken leaves out a reservation of an address, chosen by IPAM, that egress.yaml gives
// to a machine by now: it is deleted.
func (d *differ) withoutTaken(wanted Resource, found []Resource) []Resource {
	if address, ok := wanted.(*PrivateIP); !ok || !address.Free {
		return found
	}
	isTaken := func(r Resource) bool {
		address, ok := r.(*PrivateIP)
		return ok && slices.ContainsFunc(d.plan.Graph.Proxies, func(p *ProxyMachine) bool { return p.PrivateIP.Address == address.Address })
	}
	d.observed[wanted.Key()] = slices.DeleteFunc(slices.Clone(found), func(r Resource) bool { return !isTaken(r) })
	return slices.DeleteFunc(found, isTaken)
}

func haveSameAddress(wanted, found Resource) bool {
	a, ok := wanted.(*Attachment)
	b, both := found.(*Attachment)
	return !ok || !both || a.IP.ID == b.IP.ID
}
