package scwfake

import (
	"fmt"
	"net/http"
	"slices"
)

// A machine reads its user data by key. The program cloud-init reads the key
// "cloud-init". Any key can be set at any time.

func (a *API) userDataRoutes() []route {
	const collection = "/instance/v1/zones/{zone}/servers/{id}/user_data"
	const item = collection + "/{key}"
	return []route{
		{method: http.MethodGet, pattern: collection, handle: a.listUserData},
		{method: http.MethodGet, pattern: item, handle: a.getUserData},
		{method: http.MethodPatch, pattern: item, handle: a.setUserData, status: http.StatusNoContent},
		{method: http.MethodDelete, pattern: item, handle: a.deleteUserData, status: http.StatusNoContent},
	}
}

func (a *API) listUserData(c *call) (any, error) {
	s, err := a.servers.find(c.place(), c.values["id"])
	if err != nil {
		return nil, err
	}
	return object{"user_data": listOf(sortedKeys(s.userData))}, nil
}

// getUserData answers an absent key without a body, as recorded.
func (a *API) getUserData(c *call) (any, error) {
	s, err := a.servers.find(c.place(), c.values["id"])
	if err != nil {
		return nil, err
	}
	value, ok := s.userData[c.values["key"]]
	if !ok {
		return raw{status: http.StatusNotFound, contentType: "text/plain"}, nil
	}
	return raw{contentType: "text/plain", body: value}, nil
}

func (a *API) setUserData(c *call) (any, error) {
	s, err := a.servers.find(c.place(), c.values["id"])
	if err != nil {
		return nil, err
	}
	s.userData[c.values["key"]] = c.body
	a.changed(s)
	return raw{contentType: "text/plain"}, nil
}

func (a *API) deleteUserData(c *call) (any, error) {
	s, err := a.servers.find(c.place(), c.values["id"])
	if err != nil {
		return nil, err
	}
	if _, ok := s.userData[c.values["key"]]; !ok {
		return nil, notFound("user_data", c.values["key"])
	}
	delete(s.userData, c.values["key"])
	a.changed(s)
	return nil, nil
}

// SetUserData sets user data as a running server itself does, through its metadata
// service. An unknown server is an error.
func (a *API) SetUserData(serverID, key string, value []byte) error {
	if err := a.setOwnUserData(serverID, key, value); err != nil {
		return err
	}
	a.deliver()
	return nil
}

func (a *API) setOwnUserData(serverID, key string, value []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	found := a.servers.where(func(s *server) bool { return s.id == serverID })
	if len(found) != 1 {
		return fmt.Errorf("there is no server %s", serverID)
	}
	found[0].userData[key] = slices.Clone(value)
	a.changed(found[0])
	return nil
}
