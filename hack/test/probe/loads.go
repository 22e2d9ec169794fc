package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// loadedRequest is a line of loads' output.
type loadedRequest struct {
	// Begun is the time in Unix milliseconds.
	Begun int64 `json:"begun"`
	// Took is in milliseconds.
	Took int64 `json:"took"`
	// Body is the start of the answer's body.
	Body string `json:"body,omitempty"`
	// Late is whether the proxy accepted the connection, and did not answer in time: it
	// has too much work. One that has lost its power accepts none.
	Late bool `json:"late,omitempty"`
	// Error is why there was no answer with status 200.
	Error string `json:"error,omitempty"`
}

// loads fetches at a rate, each time on a connection of its own, and prints each
// request as a line of JSON. Each has to be answered within the patience. At most the
// requests of two seconds wait at a time: a machine with other work gets as many as it can
// answer.
func loads(ctx context.Context, target, rateText, durationText, patienceText string) error {
	rate, err := strconv.Atoi(rateText)
	if err != nil || rate < 1 {
		return fmt.Errorf("%q is not a number of requests a second", rateText)
	}
	duration, err := time.ParseDuration(durationText)
	if err != nil {
		return err
	}
	bound, err := time.ParseDuration(patienceText)
	if err != nil {
		return err
	}
	proxy, err := http.ProxyFromEnvironment(&http.Request{URL: &url.URL{Scheme: "http", Host: "example.com"}})
	if err != nil {
		return fmt.Errorf("reading the proxy from the environment: %w", err)
	}
	if proxy == nil {
		return errors.New("the environment names no proxy for http: set HTTP_PROXY")
	}
	client := &http.Client{
		Timeout:   bound,
		Transport: &http.Transport{Proxy: http.ProxyURL(proxy), DisableKeepAlives: true},
	}
	var mu sync.Mutex
	out := json.NewEncoder(os.Stdout)
	waiting := make(chan struct{}, 2*rate)
	var all sync.WaitGroup
	end := time.Now().Add(duration)
	for next := time.Now(); next.Before(end) && ctx.Err() == nil; next = next.Add(time.Second / time.Duration(rate)) {
		time.Sleep(time.Until(next))
		waiting <- struct{}{}
		all.Go(func() {
			defer func() { <-waiting }()
			result := load(ctx, client, target)
			mu.Lock()
			defer mu.Unlock()
			_ = out.Encode(result) // without a reader the program ends
		})
	}
	all.Wait()
	return nil
}

func load(ctx context.Context, client *http.Client, target string) loadedRequest {
	begun := time.Now()
	var connected atomic.Bool
	trace := httptrace.ClientTrace{ConnectDone: func(_, _ string, err error) { connected.Store(err == nil) }}
	body, err := fetch(httptrace.WithClientTrace(ctx, &trace), client, target)
	result := loadedRequest{Begun: begun.UnixMilli(), Took: time.Since(begun).Milliseconds(), Body: strings.TrimSpace(body)}
	if err != nil {
		result.Error, result.Late = err.Error(), connected.Load() && os.IsTimeout(err)
	}
	return result
}

func fetch(ctx context.Context, client *http.Client, target string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 64))
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %s", response.Status)
	}
	return string(body), err
}
