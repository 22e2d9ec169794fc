// Package environment is the whole product on one machine: a Kubernetes cluster
// with a real node, the proxy, a Public Gateway and an internet, each in its
// own network namespace, and a fake Scaleway API, through which the product's
// bootstrap creates the proxy. It needs root. A machine has at most one
// environment.
package environment

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"egress.scw/hack/local/cluster"
	"egress.scw/hack/local/lock"
	"egress.scw/hack/local/machine"
	"egress.scw/hack/local/network"
	"egress.scw/hack/local/node"
	"egress.scw/hack/local/process"
	"egress.scw/hack/local/programs"
	"egress.scw/hack/local/progress"
)

// Dir contains all files of the environment. It is outside of home folders
// because the proxy, which runs as its own user, writes there too.
const Dir = "/var/lib/egress-local"

// lockFile prevents two programs from starting or removing the environment at
// the same time. The file is not removed.
const lockFile = "/run/egress-local.lock"

// Environment is a running environment.
type Environment struct {
	Plan    network.Plan
	Cluster *cluster.Cluster
	// Repository is the checkout that the environment's programs are built
	// from.
	Repository string

	binaries  binaries
	released  *released       // nil: images and chart are the checkout's
	rootfs    machine.RootFS  // root filesystem of the proxy's machine
	commands  cluster.Kubectl // of Options
	processes process.Environment
}

// Options are the optional parts of an environment.
type Options struct {
	// KwokNodes is the number of nodes that exist in the API only. Their
	// pods run in name only. For tests of scale.
	KwokNodes int
	// Release is the folder of a release whose images and chart are used.
	// Default: those of the checkout.
	Release string
	// CNI is the pods' network: CNIRouted, which is the default, or CNICilium.
	CNI string
	// Kubectl runs kubectl's commands. Default: a process each.
	Kubectl cluster.Kubectl
}

// Up brings the environment up. After an error, Down removes the parts that
// were started; the error names the command.
func Up(ctx context.Context, log *progress.Log, options Options) (*Environment, error) {
	nothing := func(context.Context, *Environment) error { return nil }
	return up(ctx, log, options, further{cluster: nothing, proxy: nothing})
}

// further is work that continues the start of the environment's parts, side by side.
type further struct {
	// cluster is done once the cluster runs, while the proxy's machine boots.
	cluster func(context.Context, *Environment) error
	// proxy is done once the proxy serves and the values for the chart are complete.
	proxy func(context.Context, *Environment) error
}

// up is Up with further work.
func up(ctx context.Context, log *progress.Log, options Options, work further) (*Environment, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("the local environment needs root: it makes network namespaces, a node and mounts")
	}
	unlock, err := takeLock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := refuseSecond(ctx); err != nil {
		return nil, err
	}
	e, err := newEnvironment(ctx, log, options)
	if err != nil {
		return nil, err
	}
	// The folder records that an environment exists. From here on Down has
	// something to remove.
	if err := os.MkdirAll(Dir, 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(Dir, cniFile), []byte(options.CNI), 0o600); err != nil {
		return nil, err
	}
	if err := e.linkKubectl(); err != nil {
		return nil, err
	}
	if err := e.start(ctx, log, options, work); err != nil {
		return nil, fmt.Errorf("%w\n(logs are in %s/logs; make local-down removes the environment)", err, Dir)
	}
	made, err := e.fingerprint()
	if err != nil {
		return nil, err
	}
	return e, os.WriteFile(filepath.Join(Dir, upFile), []byte(made), 0o600)
}

// upFile marks an environment that came up completely. It contains the
// fingerprint of the environment's programs.
const upFile = "up"

// cniFile contains the pods' network of the environment, as Options.CNI has it.
const cniFile = "cni"

// Open returns the running environment, whatever its pods' network is. It is an
// error if the environment was made of other programs than the checkout's: its
// results would not be those of the current code.
func Open(ctx context.Context, log *progress.Log, options Options) (*Environment, error) {
	if !isUp() {
		return nil, errors.New("no local environment is up: make local-up brings it up")
	}
	cni, err := os.ReadFile(filepath.Join(Dir, cniFile))
	if err != nil && !errors.Is(err, os.ErrNotExist) { // an earlier state of the code wrote none
		return nil, err
	}
	options.CNI = string(cni)
	e, err := newEnvironment(ctx, log, options)
	if err != nil {
		return nil, err
	}
	made, err := os.ReadFile(filepath.Join(Dir, upFile))
	if err != nil {
		return nil, err
	}
	if now, err := e.fingerprint(); err != nil || now != string(made) {
		return nil, errors.Join(errors.New("the running local environment was made of an earlier state of the code: run make local-down and repeat the command"), err)
	}
	return e, nil
}

// isUp reports whether an environment came up completely and still runs. After
// a restart of the machine its folder exists, but its processes do not.
func isUp() bool {
	if _, err := os.Stat(filepath.Join(Dir, upFile)); err != nil {
		return false
	}
	processes, err := process.Environment(Dir).List()
	return err == nil && len(processes) > 0
}

// newEnvironment builds the programs. It does not start them.
func newEnvironment(ctx context.Context, log *progress.Log, options Options) (*Environment, error) {
	if err := CheckCNI(options.CNI); err != nil {
		return nil, err
	}
	release, err := openReleased(options.Release)
	if err != nil {
		return nil, err
	}
	builder, err := programs.New()
	if err != nil {
		return nil, err
	}
	e := &Environment{
		Plan:       network.DefaultPlan(),
		Repository: builder.Root(),
		binaries:   binaries{builder: builder},
		released:   release,
		processes:  process.Environment(Dir),
		commands:   options.Kubectl,
	}
	if e.rootfs, err = e.binaries.prepare(ctx, log, options); err != nil {
		return nil, err
	}
	e.Cluster = cluster.Open(e.clusterConfig())
	return e, nil
}

// linkKubectl puts kubectl into the environment's folder "bin", for people. The base
// name of the multi-call binary selects the program.
func (e *Environment) linkKubectl() error {
	folder := filepath.Join(Dir, "bin")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	return os.Symlink(e.binaries.kubernetes, filepath.Join(folder, "kubectl"))
}

func (e *Environment) start(ctx context.Context, log *progress.Log, options Options, work further) error {
	if err := log.Step("networks", func() error { return network.Up(ctx, e.Plan) }); err != nil {
		return err
	}
	if err := log.Step("internet and fake Scaleway API", func() error {
		if err := e.startInternet(ctx); err != nil {
			return err
		}
		return e.startScaleway(ctx)
	}); err != nil {
		return err
	}
	// bootstrap needs the cluster's kubeconfig, and not the cluster.
	var err error
	if e.Cluster, err = cluster.New(ctx, e.clusterConfig()); err != nil {
		return err
	}
	if err := log.Step("bootstrap apply", func() error { return e.apply(ctx, "--wait=false") }); err != nil {
		return err
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return log.Step("proxy's machine", func() error { return e.waitBooted(groupCtx) })
	})
	group.Go(func() error {
		if err := log.Step("proxy", func() error { return e.waitServing(groupCtx) }); err != nil {
			return err
		}
		return work.proxy(groupCtx, e)
	})
	group.Go(func() error {
		if err := e.startCluster(groupCtx, log); err != nil {
			return err
		}
		return work.cluster(groupCtx, e)
	})
	if err := group.Wait(); err != nil || options.KwokNodes == 0 {
		return err
	}
	return log.Step("kwok", func() error {
		if err := e.Cluster.StartKwok(ctx, e.Repository, e.binaries.kwok, options.KwokNodes); err != nil {
			return err
		}
		// Pods that need a real node must not be scheduled there.
		_, err := e.Cluster.Kubectl(ctx, nil, "taint", "nodes", "-l", "type=kwok", "kwok.x-k8s.io/node=fake:NoSchedule")
		return err
	})
}

// startCluster starts the control plane, and then the node and cert-manager.
func (e *Environment) startCluster(ctx context.Context, log *progress.Log) error {
	if err := log.Step("control plane", func() error { return e.Cluster.Start(ctx) }); err != nil {
		return err
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return log.Step("node", func() error { return e.startNode(groupCtx) })
	})
	group.Go(func() error {
		return log.Step("cert-manager", func() error {
			return e.Cluster.StartCertManager(groupCtx, e.Repository, e.binaries.certManager)
		})
	})
	return group.Wait()
}

// Down removes the environment, whatever its state. It is not an error if there
// is none.
func Down(ctx context.Context, log *progress.Log) error {
	running, err := process.Environment(Dir).List()
	if err != nil {
		return err
	}
	if _, err := os.Stat(Dir); errors.Is(err, os.ErrNotExist) && len(running) == 0 {
		log.Printf("no local environment")
		return nil // without the folder, things that have our names belong to another program
	}
	if os.Geteuid() != 0 {
		return errors.New("removing the local environment needs root")
	}
	unlock, err := takeLock()
	if err != nil {
		return err
	}
	defer unlock()
	return log.Step("removing the local environment", func() error {
		processes := process.Environment(Dir)
		if err := os.Remove(filepath.Join(Dir, upFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if err := removeMachines(ctx, network.DefaultPlan()); err != nil {
			return err
		}
		if err := node.Stop(ctx, processes); err != nil {
			return err
		}
		if err := processes.Stop(ctx, 5*time.Second); err != nil {
			return err
		}
		if err := network.Down(ctx, network.DefaultPlan()); err != nil {
			return err
		}
		return os.RemoveAll(Dir)
	})
}

// refuseSecond returns an error if an environment, or a part of one, exists.
func refuseSecond(ctx context.Context) error {
	if isUp() {
		return errors.New("a local environment is up already, and a machine has at most one: make local-status shows it, make local-down removes it")
	}
	if _, err := os.Stat(Dir); err == nil {
		return fmt.Errorf("an earlier local environment was not removed: make local-down removes it (%s exists)", Dir)
	}
	existing, err := network.Existing(ctx, network.DefaultPlan())
	if err != nil {
		return err
	}
	if len(existing) > 0 {
		return fmt.Errorf("another program on this machine uses names of the local environment: %q", existing)
	}
	return nil
}

func takeLock() (release func(), err error) {
	release, err = lock.Take(lockFile)
	if err != nil {
		return nil, fmt.Errorf("another program is bringing the local environment up or down: %w", err)
	}
	return release, nil
}
