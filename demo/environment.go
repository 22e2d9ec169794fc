package main

import "strings"

// environment describes the pod of the process and its proxy settings.
type environment struct {
	// Pod, Node and Namespace come from the downward API; empty outside a
	// cluster.
	Pod       string `json:"pod"`
	Node      string `json:"node"`
	Namespace string `json:"namespace"`
	Version   string `json:"version"`

	// Path is the tenant's path, and Checks are the checks that it has, in their
	// order.
	Path   egressPath `json:"path"`
	Checks []string   `json:"checks"`

	// Injected reports whether there is a proxy for HTTP or HTTPS. The demo's
	// manifests do not set one, so it was injected.
	Injected bool `json:"injected"`

	// Proxy holds the six usual variables, in the order of proxyVariables,
	// whether set or not.
	Proxy []variable `json:"proxy"`
}

// variable is one variable of the process environment, without credentials.
type variable struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	Set   bool   `json:"set"`
}

// proxyVariables lists both spellings: clients differ in which one they read.
func proxyVariables() []string {
	return []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"}
}

// readEnvironment reads the process environment of a tenant with that path.
func readEnvironment(path egressPath, variables lookup) environment {
	get := func(name string) string {
		value, _ := variables(name)
		return value
	}
	env := environment{
		Pod:       get("POD_NAME"),
		Node:      get("NODE_NAME"),
		Namespace: get("POD_NAMESPACE"),
		Version:   version,
		Path:      path,
		Checks:    checkNames(path),
	}
	for _, name := range proxyVariables() {
		value, set := variables(name)
		if strings.EqualFold(name, "NO_PROXY") {
			env.Proxy = append(env.Proxy, variable{Name: name, Value: value, Set: set})
			continue
		}
		env.Injected = env.Injected || value != ""
		env.Proxy = append(env.Proxy, variable{Name: name, Value: redact(value), Set: set})
	}
	return env
}

// redact hides the credentials of a proxy URL. It does not parse the URL: a
// value that no parser accepts may contain a password as well.
func redact(proxyURL string) string {
	at := strings.LastIndex(proxyURL, "@")
	if at < 0 {
		return proxyURL
	}
	scheme, _, found := strings.Cut(proxyURL[:at], "://")
	if !found || strings.Contains(scheme, ":") {
		return "redacted" + proxyURL[at:]
	}
	return scheme + "://redacted" + proxyURL[at:]
}
