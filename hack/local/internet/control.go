package internet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"time"
)

// openControl opens the Unix socket for Client. It replaces a socket that a
// crashed process has left.
func openControl(ctx context.Context, path string) (service, error) {
	switch info, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return service{}, fmt.Errorf("control socket: %w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return service{}, fmt.Errorf("control socket: %s exists and is not a socket", path)
	default:
		if err := os.Remove(path); err != nil {
			return service{}, fmt.Errorf("earlier control socket: %w", err)
		}
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		return service{}, fmt.Errorf("control socket: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /counters", func(w http.ResponseWriter, r *http.Request) {
		counters, err := ReadCounters(r.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		writeJSON(w, counters)
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	return webService("control socket", server, listener), nil
}

// Client queries the state of an internet, from any network namespace.
type Client struct{ http http.Client }

// NewClient returns a client for the control socket at path.
func NewClient(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
	return &Client{http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// Ready returns nil if the internet answers on all its addresses.
func (c *Client) Ready(ctx context.Context) error {
	_, err := c.get(ctx, "/healthz")
	return err
}

// Counters returns the packets that have arrived since the ruleset was loaded.
func (c *Client) Counters(ctx context.Context) ([]Counter, error) {
	body, err := c.get(ctx, "/counters")
	if err != nil {
		return nil, err
	}
	var result []Counter
	if err := json.Unmarshal(body, &result); err != nil {
		return nil, fmt.Errorf("reading the internet's counters: %w", err)
	}
	return result, nil
}

func (c *Client) get(ctx context.Context, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://internet"+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("querying the internet: %w", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fmt.Errorf("querying the internet for %s: %w", path, err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("querying the internet for %s: %s: %s", path, response.Status, body)
	}
	return body, nil
}
