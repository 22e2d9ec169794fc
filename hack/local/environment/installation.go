package environment

import "context"

// installation is the further work of an environment with the chart: installation, upgrade,
// and the work that needs the chart. A fault of installation and work does not end the start
// of the environment.
type installation struct {
	install, work, upgrade func(context.Context, *Environment) error
	// installed gets whether the chart is installed, once that has been tried. It has room
	// for that.
	installed chan bool
	// failed is the fault of installation or work, when both parts of the environment have
	// started.
	failed error
}

// onCluster installs the chart, and does the work.
func (i *installation) onCluster(ctx context.Context, e *Environment) error {
	i.failed = i.install(ctx, e)
	i.installed <- i.failed == nil
	if i.failed == nil {
		i.failed = i.work(ctx, e)
	}
	return nil
}

// onProxy upgrades the chart once it is installed.
func (i *installation) onProxy(ctx context.Context, e *Environment) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case installed := <-i.installed:
		if !installed {
			return nil // the fault is that of the installation
		}
	}
	return i.upgrade(ctx, e)
}
