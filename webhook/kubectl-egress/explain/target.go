package explain

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Target is the destination of a request.
type Target struct {
	URL  *url.URL
	Host string
	Port uint16
	// Method is that of the request to the proxy: CONNECT for TLS.
	Method string
}

// ParseTarget parses a URL. Without a scheme, it is https://. The schemes ws and wss
// are those of WebSocket.
func ParseTarget(text string) (Target, error) {
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	parsed, err := url.Parse(text)
	if err != nil {
		return Target{}, fmt.Errorf("URL %q: %w", text, err)
	}
	target := Target{URL: parsed, Host: parsed.Hostname(), Method: http.MethodGet}
	switch parsed.Scheme {
	case "http", "ws":
		parsed.Scheme, target.Port = "http", 80
	case "https", "wss":
		parsed.Scheme, target.Port, target.Method = "https", 443, http.MethodConnect
	default:
		return Target{}, fmt.Errorf("URL %q: the scheme is %q, must be http, https, ws or wss", text, parsed.Scheme)
	}
	if target.Host == "" {
		return Target{}, fmt.Errorf("URL %q has no host", text)
	}
	if port := parsed.Port(); port != "" {
		number, err := strconv.ParseUint(port, 10, 16)
		if err != nil || number == 0 {
			return Target{}, fmt.Errorf("URL %q: the port is %q, must be 1 to 65535", text, port)
		}
		target.Port = uint16(number)
	}
	return target, nil
}

// String returns the host and the port.
func (t Target) String() string {
	host := t.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host + ":" + strconv.Itoa(int(t.Port))
}
