package verify

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"egress.scw/webhook/kubectl-egress/table"
)

// Text returns the results for a terminal.
func Text(results []Result, paint table.Paint, wide bool) string {
	var parts []string
	failures, skipped, made := 0, 0, 0
	for i := range results {
		parts = append(parts, results[i].text(paint, wide))
		failures += results[i].Failures()
		skipped += results[i].count(Skipped)
		made += len(results[i].Checks) - results[i].count(Skipped)
	}
	rest := "."
	if skipped > 0 {
		rest = fmt.Sprintf(", %d skipped.", skipped)
	}
	summary := paint.In(table.Green, fmt.Sprintf("No findings: %d checks%s", made, rest))
	if failures > 0 {
		summary = paint.In(table.Red, fmt.Sprintf("%d of %d checks failed%s", failures, made, rest))
	}
	return strings.Join(append(parts, summary+"\n"), "\n")
}

func (r *Result) text(paint table.Paint, wide bool) string {
	t := &table.Table{Header: []string{"CHECK", "OUTCOME", "STATES"}}
	var details strings.Builder
	for _, check := range r.Checks {
		colour := map[Outcome]table.Colour{Passed: table.Green, Failed: table.Red, Skipped: table.Yellow}[check.Outcome]
		t.Add(table.Text(check.Name), table.Cell{Text: string(check.Outcome), Colour: colour}, table.Text(check.States))
		if check.Outcome == Failed || wide && check.Message != "" {
			fmt.Fprintf(&details, "%s: %s\n", paint.In(colour, check.Name), strings.ReplaceAll(check.Message, "\n", "\n  "))
		}
		if check.Outcome == Failed && check.Remedy != "" {
			fmt.Fprintf(&details, "  remedy: %s\n", check.Remedy)
		}
	}
	text := fmt.Sprintf("Tenant %s, by a pod in namespace %s\n", r.Tenant, r.Namespace)
	if r.Namespace == "" {
		text = fmt.Sprintf("Tenant %s, without a pod\n", r.Tenant)
	}
	text += t.String(paint)
	if details.Len() > 0 {
		text += "\n" + details.String()
	}
	return text
}

// suites is a JUnit report.
type suites struct {
	XMLName xml.Name `xml:"testsuites"`
	Suites  []suite  `xml:"testsuite"`
}

type suite struct {
	Name     string     `xml:"name,attr"`
	Tests    int        `xml:"tests,attr"`
	Failures int        `xml:"failures,attr"`
	Skipped  int        `xml:"skipped,attr"`
	Cases    []testcase `xml:"testcase"`
}

type testcase struct {
	Class   string   `xml:"classname,attr"`
	Name    string   `xml:"name,attr"`
	Failure *failure `xml:"failure"`
	Skipped *skipped `xml:"skipped"`
}

type failure struct {
	Message string `xml:"message,attr"`
	Remedy  string `xml:",chardata"`
}

type skipped struct {
	Message string `xml:"message,attr"`
}

// WriteJUnit writes the results as JUnit's XML, a suite for each tenant.
func WriteJUnit(w io.Writer, results []Result) error {
	var report suites
	for i := range results {
		result := &results[i]
		s := suite{Name: "egress.scw " + result.Tenant, Tests: len(result.Checks), Failures: result.Failures()}
		for _, check := range result.Checks {
			c := testcase{Class: "egress.scw." + result.Tenant, Name: check.Name + ": " + check.States}
			switch check.Outcome {
			case Failed:
				c.Failure = &failure{check.Message, check.Remedy}
			case Skipped:
				c.Skipped = &skipped{check.Message}
				s.Skipped++
			case Passed:
			}
			s.Cases = append(s.Cases, c)
		}
		report.Suites = append(report.Suites, s)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	encoder := xml.NewEncoder(w)
	encoder.Indent("", "  ")
	if err := encoder.Encode(report); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}
