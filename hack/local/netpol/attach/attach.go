// Package attach is the message by which the node's CNI plugin reports a pod's
// addresses to the enforcer, before a container of the pod starts.
package attach

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
)

// Attachment is a pod's sandbox in the node's network.
type Attachment struct {
	// Container is the ID of the pod's sandbox.
	Container string `json:"container"`
	// Namespace and Name are the pod's.
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// UID is the pod's as kubelet knows it: for a static pod it is not the
	// UID of the pod in the API.
	UID string `json:"uid"`
	// Addresses are the pod's addresses in the node's network.
	Addresses []netip.Addr `json:"addresses"`
}

// Path is the path of an attachment on the enforcer's socket. PUT adds it,
// DELETE removes it.
const Path = "/attachments/"

// Client reports attachments to the enforcer's Unix socket.
type Client struct{ http http.Client }

// NewClient returns a client for the socket at path.
func NewClient(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
	return &Client{http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// Add reports an attachment. It returns once the enforcer knows the pod's
// policies: from then on the pod's packets are judged by them.
func (c *Client) Add(ctx context.Context, a Attachment) error {
	body, err := json.Marshal(a)
	if err != nil {
		return err
	}
	if err := c.do(ctx, http.MethodPut, a.Container, body); err != nil {
		return fmt.Errorf("reporting pod %s/%s to the enforcer: %w", a.Namespace, a.Name, err)
	}
	return nil
}

// Remove reports that a sandbox has ended. It is not an error if no enforcer
// runs: one that starts later does not know the sandbox.
func (c *Client) Remove(ctx context.Context, container string) error {
	err := c.do(ctx, http.MethodDelete, container, nil)
	if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil
	}
	return fmt.Errorf("reporting the end of sandbox %s to the enforcer: %w", container, err)
}

func (c *Client) do(ctx context.Context, method, container string, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, method, "http://enforcer"+Path+url.PathEscape(container), bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusNoContent {
		return nil
	}
	answer, err := io.ReadAll(io.LimitReader(response.Body, 4<<10))
	return errors.Join(fmt.Errorf("%s: %s", response.Status, bytes.TrimSpace(answer)), err)
}
