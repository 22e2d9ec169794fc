package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"egress.scw/webhook/api/names"
)

// checkBound is the time in which the sidecar must answer.
const checkBound = 5 * time.Second

// check succeeds if the sidecar listens, whether or not a machine answers: a startup
// probe that never succeeds would hang a Job for ever without an error.
func check(ctx context.Context, address string, output io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, checkBound)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+names.RelayStatePath, nil) //nolint:gosec // the caller's own flag
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{Proxy: nil, DisableKeepAlives: true}}
	response, err := client.Do(request) //nolint:gosec // as above
	if err != nil {
		return fmt.Errorf("the sidecar does not listen: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("another program answers on %s: status %s", address, response.Status)
	}
	_, err = io.Copy(output, io.LimitReader(response.Body, 64<<10))
	return err
}
