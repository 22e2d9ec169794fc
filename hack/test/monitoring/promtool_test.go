package monitoring

import (
	"strings"
	"testing"
	"time"
)

// Check reports every query with another result than the expected one, also among
// queries over the same series.
func TestCheckReportsEachQuery(t *testing.T) {
	requirePrograms(t, "promtool")
	one, other := []Series{{"one", "1+0x10"}}, []Series{{"other", "1+0x10"}}
	err := Check(t.Context(), t.TempDir(), []byte("groups: []\n"),
		Evaluation{one, time.Minute, "count(one) > bool 0", []string{"{}"}},
		Evaluation{one, time.Minute, "count(absent_first)", []string{"{}"}},
		Evaluation{one, time.Minute, "count(absent_second)", []string{"{}"}},
		Evaluation{other, time.Minute, "count(one)", []string{"{}"}},
		Evaluation{other, time.Minute, "count(other) > bool 0", []string{"{}"}},
	)
	if err == nil {
		t.Fatal("no error")
	}
	for _, wrong := range []string{"count(absent_first)", "count(absent_second)", "count(one)\""} {
		if !strings.Contains(err.Error(), wrong) {
			t.Errorf("the error does not name %s: %v", wrong, err)
		}
	}
	for _, right := range []string{"count(one) > bool 0", "count(other) > bool 0"} {
		if strings.Contains(err.Error(), right) {
			t.Errorf("the error names %s: %v", right, err)
		}
	}
}
