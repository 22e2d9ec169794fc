package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"egress.scw/bootstrap/config"
	"egress.scw/bootstrap/stack"
	"egress.scw/bootstrap/watch"
	"egress.scw/cloudinit"
	"egress.scw/webhook/api/names"
)

// watcher makes the passes of watch.
type watcher struct {
	*program

	cluster *watch.Cluster
	monitor *watch.Monitor
}

// pass makes one plan, and carries it out if it is permitted.
func (w *watcher) pass(ctx context.Context) watch.Result {
	if w.options.timeout > 0 {
		bounded, cancel := context.WithTimeoutCause(ctx, w.options.timeout, fmt.Errorf("not finished within %s (--timeout)", w.options.timeout))
		defer cancel()
		ctx = bounded
	}
	t, err := w.target(ctx)
	result := watch.Failed
	if err == nil {
		result, err = w.planAndApply(ctx, t)
		// Repairs go on with the EgressTenants that are known.
		err = errors.Join(err, w.cluster.Outdated())
	}
	if ctx.Err() != nil && errors.Is(context.Cause(ctx), context.Canceled) {
		w.note("interrupted: the next watcher continues")
		return result
	}
	if !errors.Is(err, errUnusableConfig) { // which has an event of its own
		w.tell(names.ReasonApplyFailed, err)
	}
	if err != nil {
		result = watch.Failed
	}
	return w.monitor.Ended(result)
}

// tell reports a failure, or that there is none any more.
func (w *watcher) tell(reason names.Reason, err error) {
	text := strings.Join(messages(err), "; ")
	if text != "" {
		w.note("%s: %s", reason, text)
	}
	w.monitor.Problem(reason, text)
}

// watchTarget is the target of a pass, with the EgressTenants that it lacks.
type watchTarget struct {
	*target

	leftOut []watch.LeftOut
	removed map[string]bool
}

var errUnusableConfig = errors.New("egress.yaml or its credentials cannot be used")

// target reads egress.yaml and adds the tenants and the authority of the cluster.
func (w *watcher) target(ctx context.Context) (*watchTarget, error) {
	prepared, err := w.prepare()
	w.tell(names.ReasonConfigInvalid, err)
	if err != nil {
		return nil, errUnusableConfig
	}
	tenants, removed, err := w.cluster.Tenants()
	if err != nil {
		return nil, err
	}
	merged, leftOut, err := watch.Merge(prepared.config, tenants, func(egress *config.Egress) error {
		spec := prepared.spec
		spec.Tenants = egress.Spec.Tenants
		_, err := renderOffline(spec)
		return err
	})
	w.monitor.LeftOut(leftOut)
	if err != nil {
		return nil, err
	}
	prepared.config, prepared.spec.Tenants = merged, merged.Spec.Tenants
	for _, tenant := range merged.Spec.Tenants {
		delete(removed, tenant.Name) // egress.yaml has it still
	}
	t := &watchTarget{prepared, leftOut, removed}
	if err := w.readAuthority(ctx, t); err != nil {
		return nil, err
	}
	return t, checkRendering(t.target)
}

// readAuthority reads the authority of the sidecars from this cluster, without the
// kubeconfig of its administrator.
func (w *watcher) readAuthority(ctx context.Context, t *watchTarget) error {
	if !t.spec.Proxy.Identity.Sidecars() || t.spec.Proxy.Authority != "" {
		return nil
	}
	authority, err := w.cluster.ConfigText(ctx, names.AuthorityConfigMap, names.AuthorityKey)
	if err != nil || authority == "" {
		return err
	}
	if errs := cloudinit.ValidateAuthority(authority, nil); len(errs) > 0 {
		return fmt.Errorf("%s of the ConfigMap %s: %s", names.AuthorityKey, names.AuthorityConfigMap, errs[0].Detail)
	}
	t.spec.Proxy.Authority = authority
	return nil
}

func (w *watcher) planAndApply(ctx context.Context, t *watchTarget) (watch.Result, error) {
	var err error
	if t.cloud, err = t.account.connect(ctx, t.spec); err != nil {
		return watch.Failed, err
	}
	observed, plan, err := stack.ObserveAndPlan(ctx, t.cloud, t.spec)
	if err != nil {
		return watch.Failed, err
	}
	if plan, err = w.keepTrusted(ctx, t, observed, plan); err != nil {
		return watch.Failed, err
	}
	decision := watch.Decide(watch.Situation{
		Plan: plan, Observed: observed, Removed: t.removed, LeftOut: t.leftOut,
		NoAuthority: t.spec.Proxy.Identity.Sidecars() && t.spec.Proxy.Authority == "",
		Permissions: watch.Permissions{Replace: w.options.allowReplace, Delete: w.options.allowDelete},
	})
	w.monitor.Decided(decision)
	if len(decision.Blocked) > 0 {
		w.note("%s: %s", names.ReasonPlanBlocked, strings.Join(decision.Blocked, "; "))
		return watch.Blocked, nil
	}
	plan = decision.Plan
	result := watch.Unchanged
	if !plan.Empty() {
		result = watch.Applied
		if err := w.carryOut(ctx, t, plan); err != nil {
			return watch.Failed, err
		}
	}
	return result, w.compareMachinesAndValues(ctx, t, plan.Graph)
}

// carryOut carries out a plan.
func (w *watcher) carryOut(ctx context.Context, t *watchTarget, plan *stack.Plan) error {
	if err := check(ctx, t.target, plan); err != nil {
		return err
	}
	begin := time.Now()
	lines := newLines(ctx, w.stderr)
	drainer := w.newDrainer(t.target)
	runner := stack.Runner{
		Cloud: t.cloud, Parallelism: w.options.parallelism, Drain: drainer.drain,
		// Also without --wait, which is for a person who has read the plan.
		Live: w.awaitLive(t.target, "the next plan tries it again"),
		Events: func(event stack.Event) {
			lines.event(event)
			if event.Phase == stack.Done {
				w.monitor.Step(event.Step)
			}
		},
	}
	_, err := runner.Run(ctx, plan)
	for _, machine := range drainer.machines {
		w.note("%s", machine.text())
	}
	if err != nil {
		return err
	}
	var steps []string
	for _, step := range plan.Steps {
		if !step.ReplacedResource() {
			steps = append(steps, stepText(step))
		}
	}
	text := fmt.Sprintf("%s (%s)", strings.Join(steps, ", "), time.Since(begin).Round(time.Second/10))
	w.note("%s: %s", names.ReasonApplied, text)
	w.monitor.Applied(text)
	return nil
}

// stepText describes a step that is done. User data is described by its tenants.
func stepText(step *stack.Step) string {
	_, done := step.Words()
	text := stepName(step) + " " + done
	var tenants []string
	for _, change := range step.Changes {
		if name, ok := strings.CutPrefix(change.Field, "tenant "); ok && step.Kind == stack.KindUserData {
			tenants = append(tenants, name)
		}
	}
	if len(tenants) > 0 {
		text += " for " + strings.Join(tenants, ", ")
	}
	return text
}

// compareMachinesAndValues reports machines that refuse their configuration, and values
// of the chart that no longer describe the stack.
func (w *watcher) compareMachinesAndValues(ctx context.Context, t *watchTarget, graph *stack.Graph) error {
	machines, err := readMachines(ctx, t.target, graph)
	if err != nil {
		return err
	}
	_, refused := notLive(machines)
	w.tell(names.ReasonConfigRefused, refused)
	text, err := values(graph, t.spec, machines)
	if err != nil {
		return err
	}
	published, err := valuesWithoutTenants(text)
	if err != nil {
		return err
	}
	if err := w.cluster.PublishValues(ctx, string(published)); err != nil {
		return err
	}
	settings, err := w.cluster.ConfigText(ctx, names.SettingsConfigMap, names.SettingsKey)
	if err != nil || settings == "" {
		return err
	}
	outdated, err := outdatedValues([]byte(settings), published)
	if err != nil {
		return err
	}
	w.monitor.Values(outdatedText(outdated, w.cluster.Namespace))
	return nil
}
