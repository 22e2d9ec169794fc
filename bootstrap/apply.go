package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"al.essio.dev/pkg/shellescape"

	"egress.scw/bootstrap/stack"
)

// applied is the JSON form of the result of apply.
type applied struct {
	Name      string    `json:"name"`
	Summary   summary   `json:"summary"`
	Addresses addresses `json:"addresses"`
	// Machines are the proxy machines, as they report themselves.
	Machines []machineStatus `json:"machines,omitempty"`
	// Drained are the machines that were replaced or deleted while others served.
	Drained []drained `json:"drained,omitempty"`
	// Postponed are the roles of the machines that the next runs replace, one each, after
	// an upgrade of the chart with the new values.
	Postponed []string `json:"postponed,omitempty"`
	Files     files    `json:"files"`
	// Kubeconfig is the kubeconfig of this cluster alone, unless it is hidden.
	Kubeconfig string `json:"kubeconfig,omitempty"`
}

// summary counts steps.
type summary struct {
	Done    int `json:"done"`
	Failed  int `json:"failed"`
	Skipped int `json:"skipped"`
}

// files are the written files.
type files struct {
	Kubeconfig string `json:"kubeconfig,omitempty"`
	// Context is the new current context of the kubeconfig.
	Context string `json:"context,omitempty"`
	Values  string `json:"values,omitempty"`
	// KnownHosts is empty without SSH, and until a machine has reported its keys.
	KnownHosts string `json:"knownHosts,omitempty"`
}

// apply runs the command of this name.
func (p *program) apply(ctx context.Context) error {
	t, err := p.connect(ctx, checkRendering, checkOutputs)
	if err != nil {
		return err
	}
	_, plan, err := t.observeAndPlan(ctx)
	if err != nil {
		return err
	}
	if !plan.Empty() {
		checked := check(ctx, t, plan)
		if err := errors.Join(p.showPlan(t, plan), checked); err != nil {
			return err
		}
		if err := p.confirmApply(ctx, plan); err != nil {
			return err
		}
	}
	begin := time.Now()
	result := applied{Name: t.spec.Name, Postponed: rolesOf(plan.Postponed)}
	result.Summary, result.Drained, err = p.execute(ctx, t, plan)
	if err == nil {
		err = p.awaitMachines(ctx, t, plan.Graph, &result)
		if ctx.Err() == nil {
			err = errors.Join(err, writeFiles(ctx, t, plan.Graph, &result))
		}
	}
	result.Addresses = addressesOf(plan.Graph, t.spec)
	if p.options.output == outputJSON {
		return errors.Join(err, printJSON(p.stdout, result))
	}
	_, printed := fmt.Fprint(p.stdout, appliedText(t, result, time.Since(begin), outcomeOf(ctx, err)))
	return errors.Join(err, printed)
}

// rolesOf returns the roles of the resources of steps.
func rolesOf(steps []*stack.Step) []string {
	var roles []string
	for _, step := range steps {
		roles = append(roles, step.Role)
	}
	return roles
}

// execute executes a plan and shows its progress. It returns the machines that it has
// drained.
func (p *program) execute(ctx context.Context, t *target, plan *stack.Plan) (summary, []drained, error) {
	if plan.Empty() {
		return summary{}, nil, nil
	}
	progress := p.newProgress(ctx, len(plan.Steps))
	defer progress.close()
	drainer := p.newDrainer(t)
	runner := stack.Runner{Cloud: t.cloud, Parallelism: p.options.parallelism, Events: progress.event, Drain: drainer.drain}
	if p.options.wait {
		runner.Live = p.awaitLive(t, "run this again when it does; to replace the machine all the same, add --wait=false")
	}
	counts, err := runner.Run(ctx, plan)
	return summary(counts), drainer.machines, err
}

// writeFiles writes all outputs, even if one of them fails.
func writeFiles(ctx context.Context, t *target, graph *stack.Graph, result *applied) error {
	return errors.Join(outputKubeconfig(ctx, t, graph, result), outputValues(t, graph, result), outputKnownHosts(t, result))
}

func outputKubeconfig(ctx context.Context, t *target, graph *stack.Graph, result *applied) error {
	if graph.Cluster == nil {
		return nil
	}
	kubeconfig, err := t.cloud.Kubeconfig(ctx, graph.Cluster)
	if err != nil {
		return err
	}
	file := t.kubeconfigFile()
	current, err := writeKubeconfig(file, kubeconfig, graph.Cluster.ID)
	if err != nil {
		return ofOutput(outputNameKubeconfig, file, err)
	}
	result.Files.Kubeconfig, result.Files.Context = file, current
	if !*t.config.Spec.Outputs.HideKubeconfig {
		result.Kubeconfig = string(kubeconfig)
	}
	return nil
}

func outputValues(t *target, graph *stack.Graph, result *applied) error {
	file := t.valuesFile()
	text, err := values(graph, t.spec, result.Machines)
	if err == nil {
		err = writeMarked(file, text)
	}
	if err != nil {
		return ofOutput(outputNameValues, file, err)
	}
	result.Files.Values = file
	return nil
}

// outcome is the outcome of a run.
type outcome int

const (
	succeeded outcome = iota
	failed
	cancelled // by a signal or by --timeout
)

func outcomeOf(ctx context.Context, err error) outcome {
	switch {
	case err == nil:
		return succeeded
	case ctx.Err() != nil:
		return cancelled
	default:
		return failed
	}
}

// counted describes how far a run got that did not succeed.
func (s summary) counted(how outcome, done string) string {
	failed := "failed"
	if how == cancelled {
		failed = "failed or cancelled"
	}
	return fmt.Sprintf("%d %s, %d %s, %d not started", s.Done, done, s.Failed, failed, s.Skipped)
}

// appliedText is the readable form of the result of apply.
func appliedText(t *target, result applied, took time.Duration, how outcome) string {
	var text strings.Builder
	switch {
	case how != succeeded:
		fmt.Fprintf(&text, "%s does not match %s yet: %s (%s).\n", t.spec.Name, t.file, result.Summary.counted(how, "done"), took.Round(time.Second))
	case result.Summary.Done == 0:
		fmt.Fprintf(&text, "Nothing to do: everything at Scaleway matches %s.\n", t.file)
	default:
		fmt.Fprintf(&text, "%s at Scaleway matches %s: %s done (%s).\n", t.spec.Name, t.file, plural(result.Summary.Done, "step"), took.Round(time.Second))
	}
	if len(result.Postponed) > 0 {
		fmt.Fprintf(&text, "Not replaced yet: %s.\n", strings.Join(result.Postponed, ", "))
	}
	for _, machine := range result.Drained {
		text.WriteString(machine.text() + ".\n")
	}
	if rows := addressRows(result.Addresses); len(rows) > 0 {
		text.WriteString("\nAddresses\n" + columns(rows))
	}
	if rows := machineCells(result.Machines); len(rows) > 0 {
		text.WriteString("\nProxy machines\n" + columns(rows))
	}
	if rows := fileRows(result.Files); len(rows) > 0 {
		text.WriteString("\nFiles\n" + columns(rows))
	}
	switch how {
	case failed:
		text.WriteString("\nTo continue, after removing the cause:\n  " + t.command("apply") + "\n")
		return text.String()
	case cancelled: // exitCode prints how to continue
		return text.String()
	case succeeded:
	}
	text.WriteString("\nNext: install or upgrade the chart\n")
	if result.Files.Kubeconfig != "" {
		text.WriteString("  export KUBECONFIG=" + shellescape.Quote(result.Files.Kubeconfig) + "\n")
	}
	text.WriteString("  " + helmCommand(result.Files.Values) + "\n")
	if len(result.Postponed) > 0 {
		fmt.Fprintf(&text, "Then, as sidecars trust the new machine: replace %s\n  %s\n", result.Postponed[0], t.command("apply"))
	}
	return text.String()
}

// addressRows lists the addresses and their purposes.
func addressRows(a addresses) [][]string {
	var rows [][]string
	add := func(addresses []string, purpose string) {
		for _, address := range addresses {
			rows = append(rows, []string{address, purpose})
		}
	}
	add(a.Private, "proxy, for pods")
	add(a.Shared, "egress address that tenants share")
	for _, tenant := range slices.Sorted(maps.Keys(a.Dedicated)) {
		add(a.Dedicated[tenant], "egress address of "+tenant+" alone")
	}
	if a.Gateway != "" && !slices.Contains(a.Shared, a.Gateway) {
		add([]string{a.Gateway}, "egress address of nodes (Public Gateway)")
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
	if f.KnownHosts != "" {
		rows = append(rows, []string{f.KnownHosts, "SSH host keys of the proxy"})
	}
	return rows
}
