// Command ignoring sends one request by a Go client that reads no proxy variables:
//
//	ignoring CLIENT URL
//
// It fails unless the status is 200.
package main

import (
	"fmt"
	"net/http"
	"os"

	"github.com/valyala/fasthttp"
)

func main() {
	status, err := request(os.Args[1], os.Args[2])
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("status %d", status)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func request(client, address string) (status int, err error) {
	switch client {
	case "fasthttp":
		status, _, err = fasthttp.Get(nil, address)
		return status, err
	case "net-http":
		// The default transport has Proxy set to ProxyFromEnvironment.
		response, err := (&http.Client{Transport: &http.Transport{Proxy: nil}}).Get(address)
		if err != nil {
			return 0, err
		}
		return response.StatusCode, response.Body.Close()
	default:
		return 0, fmt.Errorf("no client %s", client)
	}
}
