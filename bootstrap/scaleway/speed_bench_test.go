package scaleway

import (
	"testing"
	"time"

	"egress.scw/bootstrap/scwfake"
	"egress.scw/bootstrap/stack"
)

// The bounds of a run.
const (
	maxCriticalPath = 1.15 // times the longest chain of steps that need each other
	maxSerial       = 0.65 // times the same steps one after the other
	maxNoOpRequests = 25
	maxSecond       = 1.1 // times what one machine takes
)

// TestNoOpRequests bounds the number of requests of a plan without steps. Unlike time,
// the number is the same on every machine.
func TestNoOpRequests(t *testing.T) {
	t.Parallel()
	spec := newSpec(t)
	f := serve(t, scwfake.Options{})
	if _, err := apply(t.Context(), f.cloud(t.Context(), t, spec), spec); err != nil {
		t.Fatal(err)
	}
	f.ResetCount()
	requireNothingToDo(t, f.cloud(t.Context(), t, spec), spec)
	if got := f.Requests(); got > maxNoOpRequests {
		t.Errorf("%d requests for a plan without steps, want at most %d: %v", got, maxNoOpRequests, f.Calls())
	} else {
		t.Logf("%d requests for a plan without steps", got)
	}
}

// recorded returns the operations whose recorded durations a step takes, one after the
// other. Operations without a recording take no time in the fake.
func recorded(kind stack.Kind) []scwfake.Operation {
	switch kind {
	case stack.KindVPC:
		return []scwfake.Operation{scwfake.PostVPC}
	case stack.KindPrivateNetwork:
		return []scwfake.Operation{scwfake.PostPrivateNetwork}
	case stack.KindGateway:
		return []scwfake.Operation{scwfake.GatewayRunning}
	case stack.KindGatewayNetwork:
		return []scwfake.Operation{scwfake.GatewayNetworkReady}
	case stack.KindSecurityGroup:
		return []scwfake.Operation{scwfake.PostSecurityGroup}
	case stack.KindFlexibleIP:
		return []scwfake.Operation{scwfake.PostFlexibleIP}
	case stack.KindPrivateIP:
		return []scwfake.Operation{scwfake.PostIPAMIP}
	case stack.KindServer:
		return []scwfake.Operation{scwfake.PostServer}
	case stack.KindPrivateNIC:
		return []scwfake.Operation{scwfake.NICOnStoppedServer}
	case stack.KindPower:
		return []scwfake.Operation{scwfake.ServerRunning}
	case stack.KindCluster:
		return []scwfake.Operation{scwfake.ClusterPoolRequired}
	case stack.KindPool:
		return []scwfake.Operation{scwfake.PoolReady}
	case stack.KindRegistry:
		return []scwfake.Operation{scwfake.PostNamespace}
	default:
		return nil
	}
}

// bounds returns the durations of a plan of creations according to the recordings: the
// minimum with any number of parallel steps, and the sum of all steps.
func bounds(plan *stack.Plan) (criticalPath, serial time.Duration) {
	latencies := scwfake.Latencies()
	ends := map[string]time.Duration{}
	for _, step := range plan.Steps { // each after the steps that it needs
		var begin, took time.Duration
		for _, need := range step.Needs {
			begin = max(begin, ends[need])
		}
		for _, operation := range recorded(step.Kind) {
			took += latencies[operation]
		}
		ends[step.ID] = begin + took
		criticalPath, serial = max(criticalPath, ends[step.ID]), serial+took
	}
	return criticalPath, serial
}

// BenchmarkApply creates a stack in a fake whose latencies are Scaleway's, multiplied by
// one scale. The waits between two observations have the same scale.
func BenchmarkApply(b *testing.B) {
	for _, c := range []struct {
		name    string
		changes []string
		scale   float64
		// maxSerial is 0 if the longest chain alone exceeds the bound.
		maxSerial float64
	}{
		{"with cluster", nil, 0.02, maxSerial},
		{"without cluster", []string{clusterConfig, ""}, 0.2, 0},
	} {
		b.Run(c.name, func(b *testing.B) {
			spec := newSpec(b, c.changes...)
			var took time.Duration
			var plan *stack.Plan
			for b.Loop() {
				one, p := timedApply(b, spec, c.scale, 8)
				took, plan = took+one, p
			}
			took /= time.Duration(b.N)
			alone, _ := timedApply(b, spec, c.scale, 1)

			criticalPath, sum := bounds(plan)
			scaled := func(d time.Duration) float64 { return c.scale * float64(d) }
			ofCriticalPath, ofSerial := float64(took)/scaled(criticalPath), float64(took)/float64(alone)
			b.ReportMetric(ofCriticalPath, "x-critical-path")
			b.ReportMetric(ofSerial, "x-serial")
			b.ReportMetric(float64(took)/scaled(sum), "x-serial-computed")
			b.ReportMetric(float64(criticalPath)/float64(sum), "critical-path/serial-computed")
			b.ReportMetric(took.Seconds()/c.scale, "s-at-Scaleway")
			b.ReportMetric(0, "ns/op") // meaningless for a scaled time
			if ofCriticalPath > maxCriticalPath {
				b.Errorf("%.2f times the longest chain, want at most %.2f", ofCriticalPath, maxCriticalPath)
			}
			if c.maxSerial > 0 && ofSerial > c.maxSerial {
				b.Errorf("%.2f times what one step after the other takes, want at most %.2f", ofSerial, c.maxSerial)
			}
		})
	}
}

// BenchmarkSecondMachine compares an apply of two machines in two zones with one of a
// single machine. Machines are made at the same time.
func BenchmarkSecondMachine(b *testing.B) {
	const scale, parallelism = 1.0, 8 // unscaled: the time of this machine's processors would be a part of the result
	one, two := newSpec(b, clusterConfig, ""), newSpec(b, append(machines(2, "fr-par-1", "fr-par-2"), clusterConfig, "")...)
	var alone, both time.Duration
	for b.Loop() {
		took, _ := timedApply(b, one, scale, parallelism)
		alone += took
		took, _ = timedApply(b, two, scale, parallelism)
		both += took
	}
	b.ReportMetric(float64(both)/float64(alone), "x-one-machine")
	b.ReportMetric(both.Seconds()/scale/float64(b.N), "s-at-Scaleway")
	b.ReportMetric(0, "ns/op") // meaningless for a scaled time
	if float64(both) > maxSecond*float64(alone) {
		b.Errorf("%.2f times what one machine takes, want at most %.2f", float64(both)/float64(alone), maxSecond)
	}
}

// clusterConfig is the cluster's part of the configuration.
const clusterConfig = `  cluster:
    acl: [198.51.100.0/24]
    pools:
      - {name: system, nodeType: PRO2-XXS, size: 2}
      - {name: client-a, tenant: client-a, nodeType: PRO2-XS, autoscaling: {min: 1, max: 3}}
`

// timedApply measures an apply in an empty project, including the observation.
func timedApply(b *testing.B, spec stack.Spec, scale float64, parallelism int) (time.Duration, *stack.Plan) {
	b.Helper()
	f := serve(b, scwfake.Options{LatencyScale: scale})
	options := Options{}.withDefaults()
	for _, wait := range []*time.Duration{&options.RetryFirst, &options.RetryLongest, &options.PollFirst, &options.PollLongest} {
		*wait = time.Duration(scale * float64(*wait))
	}
	began := time.Now()
	cloud := f.cloudWith(b.Context(), b, spec, options)
	plan, err := plan(b.Context(), cloud, spec)
	if err != nil {
		b.Fatal(err)
	}
	if err := cloud.Check(b.Context(), spec, plan); err != nil {
		b.Fatal(err)
	}
	runner := stack.Runner{Cloud: cloud, Parallelism: parallelism, Events: func(stack.Event) {}}
	if _, err := runner.Run(b.Context(), plan); err != nil {
		b.Fatal(err)
	}
	return time.Since(began), plan
}
