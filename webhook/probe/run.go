package probe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"egress.scw/webhook/api/names"
)

// Main runs the plan of the environment variable, and prints the report. A run that is
// stopped prints none: its attempts fail, and would seem to prove that paths are closed.
func Main(ctx context.Context, w io.Writer, getenv func(string) string) error {
	var plan Plan
	if err := json.Unmarshal([]byte(getenv(PlanVariable)), &plan); err != nil {
		return fmt.Errorf("environment variable %s must be the plan of kubectl egress verify: %w", PlanVariable, err)
	}
	report := Run(ctx, plan)
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("the pod was stopped before the end of its plan: %w", err)
	}
	report.Environment = map[string]string{}
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"} {
		if value := getenv(name); value != "" {
			report.Environment[name] = value
		}
	}
	return json.NewEncoder(w).Encode(report)
}

// Run tries the attempts of a plan.
func Run(ctx context.Context, plan Plan) Report {
	results := make([]Result, len(plan.Attempts))
	end := time.Now().Add(plan.Repeat)
	for i, attempt := range plan.Attempts {
		if attempt.Open {
			results[i] = repeat(ctx, plan.Timeout, end, attempt)
		}
	}
	var wait sync.WaitGroup
	for i, attempt := range plan.Attempts {
		if !attempt.Open {
			wait.Go(func() { results[i] = try(ctx, plan.Timeout, attempt) })
		}
	}
	wait.Wait()
	return Report{Results: results}
}

// pause is the time between two tries of an attempt.
const pause = 500 * time.Millisecond

func repeat(ctx context.Context, timeout time.Duration, end time.Time, attempt Attempt) Result {
	for {
		result := try(ctx, timeout, attempt)
		if result.Succeeded || time.Now().After(end) {
			return result
		}
		select {
		case <-ctx.Done():
			return result
		case <-time.After(pause):
		}
	}
}

func try(ctx context.Context, timeout time.Duration, attempt Attempt) Result {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	result := Result{Name: attempt.Name}
	var err error
	switch attempt.Kind {
	case Dial:
		err = dial(ctx, attempt.Address)
	case Get:
		err = get(ctx, attempt, &result)
	case Resolve:
		result.Addresses, err = resolve(ctx, attempt)
	default:
		err = fmt.Errorf(UnknownKind+" %q: the image is of another version than kubectl egress", attempt.Kind)
	}
	if err != nil {
		result.Error = err.Error()
	}
	result.Succeeded = err == nil
	return result
}

func dial(ctx context.Context, address string) error {
	connection, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return connection.Close()
}

// maxBody bounds the part of an answer that is reported, in bytes.
const maxBody = 512

func get(ctx context.Context, attempt Attempt, result *Result) error {
	transport := &http.Transport{DisableKeepAlives: true}
	refusals := make(chan *http.Response, 1)
	if attempt.Proxy != "" {
		proxy, err := url.Parse(attempt.Proxy)
		if err != nil {
			return err
		}
		transport.Proxy = http.ProxyURL(proxy)
		transport.OnProxyConnectResponse = func(_ context.Context, _ *url.URL, _ *http.Request, answer *http.Response) error {
			if answer.StatusCode != http.StatusOK {
				refusals <- answer
			}
			return nil // the transport makes an error of it
		}
	}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, attempt.URL, nil)
	if err != nil {
		return err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		select {
		case refusal := <-refusals: // of the tunnel
			result.answered(refusal)
			result.Refused = true
			return nil
		default:
			return err
		}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	if err != nil {
		return err
	}
	result.answered(response)
	result.Body = strings.TrimSpace(string(body))
	return nil
}

// answered notes the status and the headers of an answer.
func (r *Result) answered(answer *http.Response) {
	r.Status, r.Header = answer.StatusCode, map[string]string{}
	for _, name := range []string{names.HeaderTenant, names.HeaderRevision} {
		if value := answer.Header.Get(name); value != "" {
			r.Header[name] = value
		}
	}
}

// resolve looks a name up. An answer that the name does not exist is an answer.
func resolve(ctx context.Context, attempt Attempt) ([]string, error) {
	resolver := &net.Resolver{PreferGo: true}
	if attempt.Address != "" {
		resolver.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "udp", attempt.Address)
		}
	}
	addresses, err := resolver.LookupHost(ctx, attempt.Host)
	if missing, ok := errors.AsType[*net.DNSError](err); ok && missing.IsNotFound {
		return nil, nil
	}
	return addresses, err
}
