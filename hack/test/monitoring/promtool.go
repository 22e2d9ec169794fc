// Package monitoring evaluates the chart's alert rules and the queries of its
// dashboards with Prometheus' own promtool, over series that programs of the
// product export.
package monitoring

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"sigs.k8s.io/yaml"
)

// Interval is the interval of the samples.
const Interval = 30 * time.Second

// Evaluation is a query over series at a time, and its expected result.
type Evaluation struct {
	Series []Series
	// At is the time since the first sample.
	At time.Duration
	// Query is an expression of PromQL.
	Query string
	// Want are the expected series of the result, all with the value 1.
	Want []string
}

// Alerts returns the evaluation that expects exactly these alerts to fire, each in the
// form NAME{label="value"}.
func Alerts(series []Series, at time.Duration, firing ...string) Evaluation {
	return Evaluation{Series: series, At: at, Query: `label_replace(ALERTS{alertstate="firing"}, "alertstate", "", "", "")`, Want: alerts(firing)}
}

type testFile struct {
	RuleFiles          []string    `json:"rule_files"`
	EvaluationInterval string      `json:"evaluation_interval"`
	Tests              []testGroup `json:"tests"`
}

type testGroup struct {
	Interval    string      `json:"interval"`
	InputSeries []Series    `json:"input_series"`
	Expressions []queryTest `json:"promql_expr_test"`
}

type queryTest struct {
	Expression string   `json:"expr"`
	At         string   `json:"eval_time"`
	Samples    []sample `json:"exp_samples"`
}

type sample struct {
	Labels string  `json:"labels"`
	Value  float64 `json:"value"`
}

// Check has promtool evaluate the rules, which are the contents of a rule file, and
// compare the results. The error contains promtool's output, with expected and actual
// results.
func Check(ctx context.Context, dir string, rules []byte, evaluations ...Evaluation) error {
	if len(evaluations) == 0 {
		return errors.New("there is nothing to evaluate")
	}
	file := testFile{RuleFiles: []string{"rules.yaml"}, EvaluationInterval: Interval.String()}
	for _, e := range evaluations {
		test := queryTest{Expression: e.Query, At: e.At.String(), Samples: []sample{}}
		for _, labels := range e.Want {
			test.Samples = append(test.Samples, sample{labels, 1})
		}
		// promtool evaluates the rules over the series once for each group.
		if last := len(file.Tests) - 1; last >= 0 && slices.Equal(file.Tests[last].InputSeries, e.Series) {
			file.Tests[last].Expressions = append(file.Tests[last].Expressions, test)
			continue
		}
		file.Tests = append(file.Tests, testGroup{Interval.String(), e.Series, []queryTest{test}})
	}
	contents, err := yaml.Marshal(file)
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{"rules.yaml": rules, "test.yaml": contents} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return err
		}
	}
	command := exec.CommandContext(ctx, "promtool", "test", "rules", "test.yaml")
	command.Dir = dir
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("promtool test rules: %w:\n%s", err, output)
	}
	return nil
}
