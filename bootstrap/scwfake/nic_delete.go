package scwfake

import "slices"

// detachNIC detaches a card from its server, after a while if the server runs. The
// answer is the server in the form of instance/v2alpha1. Reconstructed from the SDK, of
// which bootstrap uses only the status of the answer.
func (a *API) detachNIC(c *call) (any, error) {
	var in struct {
		ID string `json:"private_network_interface_id"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	s, err := a.servers.find(c.place(), c.values["server"])
	if err != nil {
		return nil, err
	}
	n, err := a.nics.find(c.place(), in.ID)
	switch {
	case err != nil:
		return nil, err
	case n.server != s.id:
		return nil, a.nics.missing(n.id)
	case n.status != nicAvailable:
		status := n.status
		observe(a, n)
		return nil, transientState("private_network_interface", n.id, status)
	}
	detached := func() {
		n.server = ""
		a.set(&n.base, nicAvailable)
		a.changed(s)
	}
	if s.status == serverStopped {
		detached()
	} else {
		a.set(&n.base, nicDetaching)
		a.schedule(n, hold(), step{after: a.duration(NICOnRunningServer), do: detached})
	}
	return object{"id": s.id, "name": s.name, "project_id": s.project, "tags": s.tags, "zone": s.place}, nil
}

// deleteFreeNIC refuses a card of a server, as reports describe it since September
// 2026. Until July 2026 the API was recorded to detach it as well. The body is
// reconstructed.
func (a *API) deleteFreeNIC(c *call) (any, error) {
	n, err := a.nics.find(c.place(), c.values["id"])
	if err != nil {
		return nil, err
	}
	if n.server != "" {
		return nil, stillInUse("private network interface is attached to a server")
	}
	a.removeNIC(n)
	return nil, nil
}

// deleteNIC deletes a card in instance/v1, which also detaches it.
func (a *API) deleteNIC(c *call) (any, error) {
	n, err := a.nics.find(c.place(), c.values["id"])
	if err != nil {
		return nil, err
	}
	if server := c.values["server"]; server != "" && server != n.server {
		return nil, a.nics.missing(n.id)
	}
	a.removeNIC(n)
	if s, err := a.servers.find(n.place, n.server); err == nil {
		a.changed(s)
	}
	return nil, nil
}

// removeNIC frees the card's addresses. Booked addresses stay booked.
func (a *API) removeNIC(n *nic) {
	for _, ip := range slices.Clone(a.ipsOf(n.id)) {
		a.detachIP(ip)
	}
	a.nics.remove(n)
}
