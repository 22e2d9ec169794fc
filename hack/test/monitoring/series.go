package monitoring

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Series is a time series, in the notation of promtool.
type Series struct {
	// Name is its name with its labels: NAME{label="value"}.
	Name string `json:"series"`
	// Values are its samples: 0+1x60 counts from 0 to 60.
	Values string `json:"values"`
}

// Target is a scraped endpoint: its labels are added to its series.
type Target struct{ Job, Instance string }

// Scrape is what a target has exported at one time: values by series. The series
// have the target's labels.
type Scrape map[string]float64

// Parse reads the text format of Prometheus.
func (t Target) Parse(text string) (Scrape, error) {
	scrape := Scrape{t.Series("up"): 1}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, found := cutLast(line, " ")
		if !found {
			return nil, fmt.Errorf("no value in the line %q", line)
		}
		number, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil, fmt.Errorf("line %q: %w", line, err)
		}
		scrape[t.Series(name)] = number
	}
	if len(scrape) == 1 {
		return nil, fmt.Errorf("the scrape of %s contains no series", t.Job)
	}
	return scrape, nil
}

// Series adds the target's labels to a series.
func (t Target) Series(name string) string {
	own := fmt.Sprintf("instance=%q,job=%q", t.Instance, t.Job)
	if name, labels, found := strings.Cut(name, "{"); found {
		return name + "{" + own + "," + labels
	}
	return name + "{" + own + "}"
}

func cutLast(s, separator string) (before, after string, found bool) {
	if i := strings.LastIndex(s, separator); i >= 0 {
		return s[:i], s[i+len(separator):], true
	}
	return s, "", false
}

// Constant returns the series of a state that does not change for a time.
func (s Scrape) Constant(during time.Duration) []Series {
	return s.Then(during, nil, 0)
}

// Then returns the series of a state, followed by another one. A series that only
// the second has begins with it; one that only the first has ends.
func (s Scrape) Then(during time.Duration, next Scrape, after time.Duration) []Series {
	names := slices.Sorted(maps.Keys(s))
	for _, name := range slices.Sorted(maps.Keys(next)) {
		if _, both := s[name]; !both {
			names = append(names, name)
		}
	}
	var all []Series
	for _, name := range names {
		values := samples(s, name, during)
		if after > 0 {
			values += " " + samples(next, name, after)
		}
		all = append(all, Series{name, values})
	}
	return all
}

func samples(s Scrape, name string, during time.Duration) string {
	count := int(during / Interval)
	value, exists := s[name]
	if !exists {
		return fmt.Sprintf("stale _x%d", count-1)
	}
	return fmt.Sprintf("%g+0x%d", value, count-1)
}

// alerts turns NAME{labels} into the series ALERTS of Prometheus.
func alerts(firing []string) []string {
	var all []string
	for _, alert := range firing {
		name, labels, _ := strings.Cut(strings.TrimSuffix(alert, "}"), "{")
		series := fmt.Sprintf("ALERTS{alertname=%q", name)
		if labels != "" {
			series += "," + labels
		}
		all = append(all, series+"}")
	}
	return all
}
