package main

import (
	"context"
	"errors"
	"fmt"

	"egress.scw/hack/test/browser"
	"egress.scw/hack/test/browser/fakes"
)

// quality of the pictures, which are WebP: text stays sharp.
const quality = 80

// proxyAddress is on loopback, and resembles the address of a proxy.
const proxyAddress = "127.16.28.8:3129"

// demoPictures shows the demo of a tenant with path Proxy after all checks, in both
// themes and at the width of a phone.
func demoPictures(ctx context.Context, root, work string, write func(name string, content []byte) error) (err error) {
	internet := fakes.Internet()
	defer internet.Close()
	proxy, err := fakes.Proxy(ctx, proxyAddress, internet.Listener.Addr().String(), nil)
	if err != nil {
		return err
	}
	defer proxy.Close()
	closed, err := fakes.ClosedPort(ctx)
	if err != nil {
		return err
	}
	binary, err := fakes.Build(ctx, root, work)
	if err != nil {
		return err
	}
	const noProxy = "localhost,127.0.0.1,::1,10.32.0.1,kubernetes,svc,.svc,cluster.local,.cluster.local,.client-a,10.32.0.0/20,100.64.0.0/15,172.16.28.0/22"
	demo, err := fakes.Start(ctx, binary, internet,
		[]string{
			"POD_NAME=egress-demo-7c9d8b5f6-x2x8q", "NODE_NAME=client-a-1", "POD_NAMESPACE=client-a",
			"HTTP_PROXY=" + proxy.URL, "http_proxy=" + proxy.URL, "HTTPS_PROXY=" + proxy.URL, "https_proxy=" + proxy.URL,
			"NO_PROXY=" + noProxy, "no_proxy=" + noProxy,
		},
		"--ip-echo-url=https://ip.example.com?format=json", "--ip-info-url=https://ip.example.com/info", "--echo-url=https://echo.example.com",
		"--direct-url=http://"+closed, "--checks-per-minute=6000")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, demo.Stop()) }()

	for _, picture := range []struct {
		name  string
		visit browser.Visit
	}{
		{"demo-light.webp", browser.Visit{Width: 1120, Height: 760, Top: 1130}},
		{"demo-dark.webp", browser.Visit{Width: 1120, Height: 760, Top: 1130, Dark: true}},
		{"demo-phone.webp", browser.Visit{Width: 390, Height: 844, Top: 1240, Scale: 1.5}},
	} {
		visit := picture.visit
		visit.URL, visit.All, visit.Quality = demo.URL, true, quality
		visit.Await = []string{`[data-testid="denial-list"] > li`}
		page, err := browser.Open(ctx, visit)
		if err != nil {
			return fmt.Errorf("%s: %w", picture.name, err)
		}
		if len(page.Problems) > 0 {
			return fmt.Errorf("%s: the browser complains: %q", picture.name, page.Problems)
		}
		if err := write(picture.name, page.Screenshot); err != nil {
			return err
		}
	}
	return nil
}
