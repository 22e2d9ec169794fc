package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadEnvironment(t *testing.T) {
	tests := []struct {
		name string
		vars map[string]string
		want environment
	}{
		{
			name: "nothing set",
			want: environment{Version: "dev", Path: pathProxy, Checks: checkNames(pathProxy), Proxy: []variable{
				{Name: "HTTP_PROXY"}, {Name: "http_proxy"}, {Name: "HTTPS_PROXY"}, {Name: "https_proxy"}, {Name: "NO_PROXY"}, {Name: "no_proxy"},
			}},
		},
		{
			name: "injected pod",
			vars: map[string]string{
				"POD_NAME": "demo-1", "NODE_NAME": "node-1", "POD_NAMESPACE": "shop",
				"HTTP_PROXY": "http://172.16.28.8:3129", "http_proxy": "http://172.16.28.8:3129",
				"HTTPS_PROXY": "http://172.16.28.8:3129", "https_proxy": "http://172.16.28.8:3129",
				"NO_PROXY": "localhost,.svc", "no_proxy": "localhost,.svc",
			},
			want: environment{Pod: "demo-1", Node: "node-1", Namespace: "shop", Version: "dev", Path: pathProxy, Checks: checkNames(pathProxy), Injected: true, Proxy: []variable{
				{Name: "HTTP_PROXY", Value: "http://172.16.28.8:3129", Set: true},
				{Name: "http_proxy", Value: "http://172.16.28.8:3129", Set: true},
				{Name: "HTTPS_PROXY", Value: "http://172.16.28.8:3129", Set: true},
				{Name: "https_proxy", Value: "http://172.16.28.8:3129", Set: true},
				{Name: "NO_PROXY", Value: "localhost,.svc", Set: true},
				{Name: "no_proxy", Value: "localhost,.svc", Set: true},
			}},
		},
		{
			name: "one spelling, with credentials",
			vars: map[string]string{"https_proxy": "http://shop:secret@172.16.28.8:3129"},
			want: environment{Version: "dev", Path: pathProxy, Checks: checkNames(pathProxy), Injected: true, Proxy: []variable{
				{Name: "HTTP_PROXY"},
				{Name: "http_proxy"},
				{Name: "HTTPS_PROXY"},
				{Name: "https_proxy", Value: "http://redacted@172.16.28.8:3129", Set: true},
				{Name: "NO_PROXY"},
				{Name: "no_proxy"},
			}},
		},
		{
			name: "empty values and a list of exceptions are no proxy",
			vars: map[string]string{"HTTP_PROXY": "", "NO_PROXY": "localhost"},
			want: environment{Version: "dev", Path: pathProxy, Checks: checkNames(pathProxy), Proxy: []variable{
				{Name: "HTTP_PROXY", Set: true},
				{Name: "http_proxy"},
				{Name: "HTTPS_PROXY"},
				{Name: "https_proxy"},
				{Name: "NO_PROXY", Value: "localhost", Set: true},
				{Name: "no_proxy"},
			}},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := readEnvironment(pathProxy, variables(test.vars))
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("environment (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRedact(t *testing.T) {
	tests := []struct{ in, want string }{
		{"", ""},
		{"http://172.16.28.8:3129", "http://172.16.28.8:3129"},
		{"172.16.28.8:3129", "172.16.28.8:3129"},
		{"http://user:secret@p.test:3129/", "http://redacted@p.test:3129/"},
		{"http://user@p.test:3129", "http://redacted@p.test:3129"},
		{"user:secret@p.test:3129", "redacted@p.test:3129"},
		{"http://user:s@cret@p.test:3129", "http://redacted@p.test:3129"},
		{"http://user:s/cret@p.test:3129", "http://redacted@p.test:3129"},
		{"http://user:s%zz@p.test:port", "http://redacted@p.test:port"},
		{"user:s://cret@p.test", "redacted@p.test"},
		{"socks5://user:secret@[2001:db8::1]:1080", "socks5://redacted@[2001:db8::1]:1080"},
	}
	for _, test := range tests {
		if got := redact(test.in); got != test.want {
			t.Errorf("redact(%q) = %q, want %q", test.in, got, test.want)
		}
	}
}
