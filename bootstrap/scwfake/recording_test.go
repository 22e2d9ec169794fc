package scwfake_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"egress.scw/bootstrap/scwfake"
)

var update = flag.Bool("update", false, "write testdata/recordings from the recordings in the folder $EGRESS_RECORDED")

// The recordings of publishedFolder were reduced from the recorded tests that Scaleway
// publishes with its Terraform provider.
const (
	recordingsFolder = "testdata/recordings"
	publishedFolder  = "testdata/published"
)

// recording is a request that was sent to the real API, and the shape of the answer.
// It does not contain the values of the answer.
type recording struct {
	Name string `json:"name"`
	// Recorded is the day of the recording.
	Recorded string `json:"recorded,omitempty"`
	// Request is missing for errors that are only known from the SDK's tests.
	Request  *recordedRequest `json:"request,omitempty"`
	Response struct {
		// Status is 0 if it is not known.
		Status      int    `json:"status"`
		ContentType string `json:"content_type,omitempty"`
		// Shape is absent if the body was empty or text.
		Shape any `json:"shape,omitempty"`
	} `json:"response"`
}

type recordedRequest struct {
	Method string `json:"method"`
	// Path includes the query.
	Path        string `json:"path"`
	ContentType string `json:"content_type,omitempty"`
	// Body is JSON, or a string if the request is text.
	Body any `json:"body,omitempty"`
}

// rawRecording is the form in the folder $EGRESS_RECORDED.
type rawRecording struct {
	Request *struct {
		Method      string `json:"method"`
		URL         string `json:"url"`
		ContentType string `json:"content_type"`
		Body        any    `json:"body"`
	} `json:"request"`
	Response struct {
		Status  int               `json:"status"`
		Headers map[string]string `json:"headers"`
		Body    any               `json:"body"`
	} `json:"response"`
}

// TestRecordings tests that testdata is made from the recordings.
func TestRecordings(t *testing.T) {
	t.Parallel()
	folder := os.Getenv("EGRESS_RECORDED")
	if folder == "" {
		t.Skip("the recordings themselves are not part of the repository: EGRESS_RECORDED does not say where they are")
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings in %s: %v", folder, err)
	}
	want := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		if name == "kubeconfig" {
			name = "cluster_credentials" // rules for secrets would keep the other name out of the repository
		}
		want[name+".json"] = reduce(t, name, text)
	}
	if *update {
		if err := os.RemoveAll(recordingsFolder); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(recordingsFolder, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, text := range want {
			if err := os.WriteFile(filepath.Join(recordingsFolder, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	got := map[string]string{}
	kept, err := filepath.Glob(filepath.Join(recordingsFolder, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range kept {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		got[filepath.Base(file)] = string(text)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("testdata is not up to date with the recordings; go test -update writes it (-want +got):\n%s", diff)
	}
}

// reduce removes the values from a recording's response, and the project and the
// organisation from the request.
func reduce(t *testing.T, name string, text []byte) string {
	t.Helper()
	for _, owner := range owners(t, text) {
		text = bytes.ReplaceAll(text, []byte(owner), []byte(scwfake.DefaultProjectID))
	}
	var raw rawRecording
	if err := json.Unmarshal(text, &raw); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	reduced := recording{Name: name}
	if raw.Request != nil {
		u, err := url.Parse(raw.Request.URL)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		reduced.Request = &recordedRequest{
			Method: raw.Request.Method, Path: u.RequestURI(), ContentType: raw.Request.ContentType, Body: raw.Request.Body,
		}
	}
	if date := strings.Fields(raw.Response.Headers["Date"]); len(date) > 3 {
		reduced.Recorded = strings.Join(date[1:4], " ")
	}
	reduced.Response.Status = raw.Response.Status
	reduced.Response.ContentType = raw.Response.Headers["Content-Type"]
	if object, ok := raw.Response.Body.(map[string]any); ok {
		reduced.Response.Shape = shapeOf(object)
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(reduced); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// owners returns the projects and organisations that a recording names.
func owners(t *testing.T, text []byte) []string {
	t.Helper()
	pattern := regexp.MustCompile(`(?:"(?:project|project_id|organization|organization_id)": *"|project_id=)([0-9a-f-]{36})`)
	var found []string
	for _, match := range pattern.FindAllSubmatch(text, -1) {
		found = append(found, string(match[1]))
	}
	return found
}

func readRecordings(t *testing.T) []recording {
	t.Helper()
	var files []string
	for _, folder := range []string{recordingsFolder, publishedFolder} {
		some, err := filepath.Glob(filepath.Join(folder, "*.json"))
		if err != nil || len(some) == 0 {
			t.Fatalf("no recordings in %s: %v", folder, err)
		}
		files = append(files, some...)
	}
	all := make([]recording, 0, len(files))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var r recording
		if err := json.Unmarshal(text, &r); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all = append(all, r)
	}
	return all
}
