package inject

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestDisplayName(t *testing.T) {
	for raw, want := range map[string]string{
		`{}`:                                   "",
		`{"metadata":{"name":"web"}}`:          "web",
		`{"metadata":{"generateName":"web-"}}`: "web-*",
		`{"metadata":{"name":"web-1","generateName":"web-"}}`: "web-1",
	} {
		if got := mustDecode(t, []byte(raw)).DisplayName(); got != want {
			t.Errorf("%s: %q, want %q", raw, got, want)
		}
	}
}

// TestDecodeEnvVar: proxy variables are read in every spelling of the JSON, and the
// names and values of other variables are dropped.
func TestDecodeEnvVar(t *testing.T) {
	for raw, want := range map[string]EnvVar{
		`{"name":"HTTP_PROXY","value":"a"}`:                                   {Name: "HTTP_PROXY", Value: "a"},
		`{"value":"a","name":"no_proxy"}`:                                     {Name: "no_proxy", Value: "a"},
		`{"value":"a\n","n\u0061me":"\u0048TTPS_PROXY"}`:                      {Name: "HTTPS_PROXY", Value: "a\n"},
		`{"name":"NO_PROXY","value":null}`:                                    {Name: "NO_PROXY"},
		`{"name":"https_proxy","valueFrom":{"secretKeyRef":{}}}`:              {Name: "https_proxy", ValueFrom: &struct{}{}},
		`{"name":"JAVA_TOOL_OPTIONS","value":"-Xmx1g"}`:                       {Name: "JAVA_TOOL_OPTIONS", Value: "-Xmx1g"},
		`{"name":"OTHER","value":"a"}`:                                        {},
		`{"value":"a","name":"OTHER"}`:                                        {},
		`{"value":"a","name":"` + strings.Repeat("HTTP_PROXY", 20) + `"}`:     {},
		`{"name":"Http_Proxy","value":"a","valueFrom":{"configMapKeyRef":1}}`: {ValueFrom: &struct{}{}},
		`{"name":null,"value":"a"}`:                                           {},
		`null`:                                                                {},
	} {
		var got EnvVar
		if err := json.Unmarshal([]byte(raw), &got, DecodeOptions); err != nil {
			t.Errorf("%s: %v", raw, err)
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(EnvVar{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", raw, diff)
		}
	}
	for raw, want := range map[string]string{
		`{"name":"OTHER","name":"OTHER"}`:            `duplicate object member name "name"`,
		`{"name":"OTHER","value":"a","value":"b"}`:   `duplicate object member name "value"`,
		`{"name":"OTHER","value":7}`:                 `JSON number into Go string within "/value"`,
		`{"name":7}`:                                 `JSON number into Go string within "/name"`,
		`{"name":"OTHER","value":"a`:                 "EOF",
		`{"name":"HTTP_PROXY","valueFrom":"secret"}`: `JSON string into Go struct {}`,
	} {
		if err := json.Unmarshal([]byte(raw), &EnvVar{}, DecodeOptions); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error is %v, want %q in it", raw, err, want)
		}
	}
}
