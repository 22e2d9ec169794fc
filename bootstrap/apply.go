package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"egress.scw/bootstrap/stack"
)

// applied is the outcome of apply, in JSON.
type applied struct {
	Name      string    `json:"name"`
	Summary   summary   `json:"summary"`
	Addresses addresses `json:"addresses"`
	Files     files     `json:"files"`
	// Kubeconfig is that of the cluster alone, if it is not to be hidden.
	Kubeconfig string `json:"kubeconfig,omitempty"`
}

// summary counts steps.
type summary struct {
	Done    int `json:"done"`
	Failed  int `json:"failed"`
	Skipped int `json:"skipped"`
}

// files are those that were written.
type files struct {
	Kubeconfig string `json:"kubeconfig,omitempty"`
	// Context is the kubeconfig's new current context.
	Context string `json:"context,omitempty"`
	Values  string `json:"values,omitempty"`
}

// apply is the command.
func (p *program) apply(ctx context.Context) error {
	s, err := p.connect(ctx, checkRendering, checkOutputs)
	if err != nil {
		return err
	}
	_, plan, err := stack.ObserveAndPlan(ctx, s.cloud, s.spec)
	if err != nil {
		return err
	}
	if !plan.Empty() {
		checked := check(ctx, s, plan)
		if err := errors.Join(p.showPlan(s, plan), checked); err != nil {
			return err
		}
		if err := p.confirmApply(ctx, plan); err != nil {
			return err
		}
	}
	begin := time.Now()
	result := applied{Name: s.spec.Name}
	result.Summary, err = p.carryOut(ctx, s, plan)
	if err == nil {
		err = writeFiles(ctx, s, plan.Graph, &result)
	}
	result.Addresses = addressesOf(plan.Graph, s.spec)
	if p.options.output == outputJSON {
		return errors.Join(err, printJSON(p.stdout, result))
	}
	_, printed := fmt.Fprint(p.stdout, appliedText(s, result, time.Since(begin), outcomeOf(ctx, err)))
	return errors.Join(err, printed)
}

// carryOut runs a plan and shows how it goes.
func (p *program) carryOut(ctx context.Context, s *setup, plan *stack.Plan) (summary, error) {
	if plan.Empty() {
		return summary{}, nil
	}
	shown := p.newProgress(ctx, len(plan.Steps))
	defer shown.close()
	runner := stack.Runner{Cloud: s.cloud, Parallelism: p.options.parallelism, Events: shown.event}
	counts, err := runner.Run(ctx, plan)
	return summary(counts), err
}

// writeFiles writes the outputs, each whatever becomes of the other.
func writeFiles(ctx context.Context, s *setup, graph *stack.Graph, result *applied) error {
	return errors.Join(outputKubeconfig(ctx, s, graph, result), outputValues(s, graph, result))
}

func outputKubeconfig(ctx context.Context, s *setup, graph *stack.Graph, result *applied) error {
	if graph.Cluster == nil {
		return nil
	}
	kubeconfig, err := s.cloud.Kubeconfig(ctx, graph.Cluster)
	if err != nil {
		return err
	}
	file := s.kubeconfigFile()
	current, err := writeKubeconfig(file, kubeconfig, graph.Cluster.ID)
	if err != nil {
		return ofOutput("kubeconfig", file, err)
	}
	result.Files.Kubeconfig, result.Files.Context = file, current
	if !*s.config.Outputs.HideKubeconfig {
		result.Kubeconfig = string(kubeconfig)
	}
	return nil
}

func outputValues(s *setup, graph *stack.Graph, result *applied) error {
	file := s.valuesFile()
	text, err := values(graph, s.spec)
	if err == nil {
		err = writeValues(file, text)
	}
	if err != nil {
		return ofOutput("values", file, err)
	}
	result.Files.Values = file
	return nil
}

// outcome is how a run ended.
type outcome int

const (
	succeeded outcome = iota
	failed
	ended // from outside
)

func outcomeOf(ctx context.Context, err error) outcome {
	switch {
	case err == nil:
		return succeeded
	case ctx.Err() != nil:
		return ended
	default:
		return failed
	}
}

// counted says how far a run came that did not succeed.
func (s summary) counted(how outcome, done string) string {
	failed := "failed"
	if how == ended {
		failed = "failed or broken off"
	}
	return fmt.Sprintf("%d %s, %d %s, %d not begun", s.Done, done, s.Failed, failed, s.Skipped)
}

// appliedText is the outcome as people read it.
func appliedText(s *setup, result applied, took time.Duration, how outcome) string {
	var text strings.Builder
	switch {
	case how != succeeded:
		fmt.Fprintf(&text, "%s is not yet as %s says: %s (%s).\n", s.spec.Name, s.file, result.Summary.counted(how, "done"), took.Round(time.Second))
	case result.Summary.Done == 0:
		fmt.Fprintf(&text, "Nothing to do: everything is as %s says.\n", s.file)
	default:
		fmt.Fprintf(&text, "%s is as %s says: %s done (%s).\n", s.spec.Name, s.file, plural(result.Summary.Done, "step"), took.Round(time.Second))
	}
	if rows := addressRows(result.Addresses); len(rows) > 0 {
		text.WriteString("\nAddresses\n" + columns(rows))
	}
	if rows := fileRows(result.Files); len(rows) > 0 {
		text.WriteString("\nFiles\n" + columns(rows))
	}
	switch how {
	case failed:
		text.WriteString("\nTo go on from here, when the cause is gone:\n  " + s.command("apply") + "\n")
		return text.String()
	case ended: // report says how to go on
		return text.String()
	case succeeded:
	}
	text.WriteString("\nNext: install the chart, or upgrade it\n")
	if result.Files.Kubeconfig != "" {
		text.WriteString("  export KUBECONFIG=" + shellWord(result.Files.Kubeconfig) + "\n")
	}
	text.WriteString("  " + helmCommand(result.Files.Values) + "\n")
	return text.String()
}

// addressRows lists addresses and what they are for.
func addressRows(a addresses) [][]string {
	var rows [][]string
	add := func(address, what string) {
		if address != "" {
			rows = append(rows, []string{address, what})
		}
	}
	add(a.Private, "proxy, as pods reach it")
	add(a.Shared, "tenants leave by it")
	for _, tenant := range slices.Sorted(maps.Keys(a.Dedicated)) {
		add(a.Dedicated[tenant], tenant+" leaves by it, and nobody else")
	}
	if a.Gateway != a.Shared {
		add(a.Gateway, "nodes leave by it (Public Gateway)")
	}
	return rows
}

func fileRows(f files) [][]string {
	var rows [][]string
	if f.Kubeconfig != "" {
		rows = append(rows, []string{f.Kubeconfig, "context " + f.Context})
	}
	if f.Values != "" {
		rows = append(rows, []string{f.Values, "values of the chart"})
	}
	return rows
}
