package controller

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/proxystatus"
)

const (
	// statusInterval is the time from the start of one question to a machine to that of
	// the next.
	statusInterval = 2 * time.Second
	// statusTimeout bounds an attempt, and is the time from the start of a failed attempt
	// to that of the second, which is the last: Squid closes its ports for up to half a
	// second while it reads a configuration. A machine that stops is noticed within
	// statusInterval and two attempts, 4 s.
	statusTimeout = time.Second
	// maxStatusHeader bounds the header of an answer, in bytes. Squid's has 400.
	maxStatusHeader = 8 << 10
)

// statusAsker asks machines for their state, on one connection to each that is kept.
type statusAsker struct {
	client *http.Client
	// timeout bounds an attempt.
	timeout time.Duration
}

func newStatusAsker() statusAsker {
	return statusAsker{timeout: statusTimeout, client: &http.Client{
		Transport: &http.Transport{
			MaxConnsPerHost: 1, MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute,
			DisableCompression: true, MaxResponseHeaderBytes: maxStatusHeader,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// ask asks the machine behind an address and port, a second time if the first attempt
// fails.
func (a statusAsker) ask(ctx context.Context, machine netip.AddrPort) machineState {
	again := time.After(statusTimeout)
	state := a.askOnce(ctx, machine)
	if state.err == "" || ctx.Err() != nil {
		return state
	}
	select {
	case <-ctx.Done():
		return state
	case <-again:
		return a.askOnce(ctx, machine)
	}
}

func (a statusAsker) askOnce(ctx context.Context, machine netip.AddrPort) machineState {
	state := machineState{asked: time.Now()}
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	served, err := a.get(ctx, machine)
	if err != nil {
		_, state.withheld = errors.AsType[withheldError](err)
		state.err = err.Error()
		return state
	}
	state.answered, state.served = state.asked, served
	return state
}

// withheldError is the error of a machine that refuses to tell its state: it refuses the
// connection, or denies a request on a connection of before.
type withheldError string

func (e withheldError) Error() string { return string(e) }

// get requests the page. Its errors are stable: equal for equal causes.
func (a statusAsker) get(ctx context.Context, machine netip.AddrPort) ([]proxystatus.Tenant, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+machine.String()+names.StatusPath, nil)
	if err != nil {
		return nil, err
	}
	response, err := a.client.Do(request)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil, withheldError(cause(err, a.timeout))
	case err != nil:
		return nil, fmt.Errorf("%s", cause(err, a.timeout)) //nolint:err113 // the text of the cause is stable, and the error is not
	}
	defer response.Body.Close()
	// All of the page, so that the connection is kept.
	page, err := io.ReadAll(io.LimitReader(response.Body, proxystatus.MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("%s", cause(err, a.timeout)) //nolint:err113 // as above
	}
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusForbidden:
		return nil, withheldError("status 403: it is drained, or not a proxy of egress.scw")
	default:
		return nil, fmt.Errorf("status %d, so this is not a proxy of egress.scw", response.StatusCode)
	}
	served, err := proxystatus.Parse(page)
	if err != nil {
		return nil, fmt.Errorf("its state cannot be read: %w", err)
	}
	return served, nil
}
