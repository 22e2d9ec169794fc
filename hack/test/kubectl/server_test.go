package kubectl

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/streaming/pkg/httpstream/wsstream"
)

// server is an API server with namespaces, configmaps and a pod.
type server struct {
	*httptest.Server
	// blocked receives a value when the object "blocked" is asked for, and then when the
	// request is cancelled.
	blocked chan struct{}

	mu          sync.Mutex
	connections int
	requests    []request
}

type request struct{ method, path, userAgent, body string }

// newServer starts a server. It has no loopback address, because no program asks a proxy
// for that.
func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{blocked: make(chan struct{}, 2)}
	s.Server = httptest.NewUnstartedServer(s)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.connections++
		}
	}
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// kubeconfig writes a kubeconfig with a token and returns its path.
func (s *server) kubeconfig(t *testing.T) string {
	t.Helper()
	address, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["test"] = &clientcmdapi.Cluster{
		Server: "https://0.0.0.0:" + address.Port(), TLSServerName: "example.com", CertificateAuthorityData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}),
	}
	config.AuthInfos["test"] = &clientcmdapi.AuthInfo{Token: "token"}
	config.Contexts["test"] = &clientcmdapi.Context{Cluster: "test", AuthInfo: "test"}
	config.CurrentContext = "test"
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		t.Fatal(err)
	}
	return file
}

// counted returns the number of connections, and the requests whose path has the prefix.
func (s *server) counted(prefix string) (connections int, requests []request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.requests {
		if strings.HasPrefix(r.path, prefix) {
			requests = append(requests, r)
		}
	}
	return s.connections, requests
}

func (s *server) record(r *http.Request) (body string) {
	text, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, request{r.Method, r.URL.Path, r.UserAgent(), string(text)})
	return string(text)
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/exec") {
		run(w, r)
		return
	}
	body := s.record(r)
	w.Header().Set("Content-Type", "application/json")
	name := filepath.Base(r.URL.Path)
	switch {
	case discovery[r.URL.Path] != "":
		fmt.Fprint(w, discovery[r.URL.Path])
	case name == "blocked":
		s.blocked <- struct{}{}
		<-r.Context().Done()
		s.blocked <- struct{}{}
	case name == "missing":
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404,"message":"namespaces \"missing\" not found"}`)
	case strings.Contains(body, "refused"):
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,"message":"no"}`)
	case r.Method == http.MethodPost || r.Method == http.MethodPut:
		fmt.Fprint(w, body)
	case strings.HasSuffix(r.URL.Path, "/pods/app"):
		fmt.Fprint(w, `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"app","namespace":"default"},"spec":{"containers":[{"name":"c"}]},"status":{"phase":"Running"}}`)
	default:
		w.Header().Set("Warning", fmt.Sprintf("299 - %q", "about "+name))
		fmt.Fprintf(w, `{"kind":"Namespace","apiVersion":"v1","metadata":{"name":%q}}`, name)
	}
}

var discovery = map[string]string{
	"/api":  `{"kind":"APIVersions","versions":["v1"]}`,
	"/apis": `{"kind":"APIGroupList","apiVersion":"v1","groups":[]}`,
	"/api/v1": `{"kind":"APIResourceList","groupVersion":"v1","resources":[
		{"name":"namespaces","singularName":"namespace","kind":"Namespace","namespaced":false,"verbs":["get","list","create","update"]},
		{"name":"pods","singularName":"pod","kind":"Pod","namespaced":true,"verbs":["get","list"]},
		{"name":"configmaps","singularName":"configmap","kind":"ConfigMap","namespaced":true,"verbs":["get","create","update"]}]}`,
}

// run answers the request for a program in a container, which prints its arguments
// and ends with the status 7.
func run(w http.ResponseWriter, r *http.Request) {
	channels := []wsstream.ChannelType{wsstream.IgnoreChannel, wsstream.WriteChannel, wsstream.WriteChannel, wsstream.WriteChannel, wsstream.IgnoreChannel}
	conn := wsstream.NewConn(map[string]wsstream.ChannelProtocolConfig{"v5.channel.k8s.io": {Binary: true, Channels: channels}})
	_, streams, err := conn.Open(w, r)
	if err != nil {
		return
	}
	defer conn.Close()
	fmt.Fprint(streams[1], strings.Join(r.URL.Query()["command"], " "))
	fmt.Fprint(streams[2], "main: probe: refused")
	_ = json.NewEncoder(streams[3]).Encode(map[string]any{
		"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NonZeroExitCode", "message": "command terminated with non-zero exit code",
		"details": map[string]any{"causes": []any{map[string]any{"reason": "ExitCode", "message": "7"}}},
	})
}
