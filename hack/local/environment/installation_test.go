package environment

import (
	"context"
	"errors"
	"testing"

	"golang.org/x/sync/errgroup"
)

// A fault of the installation or of the work, such as a check of the demo, does not end the
// start of the environment, so that a further run finds it up, and repeats them. The chart
// is upgraded if it is installed.
func TestFaultsOfTheWorkLeaveTheEnvironmentUp(t *testing.T) {
	fault := errors.New("fault")
	for name, test := range map[string]struct {
		install, work, upgrade error
		up, failed             error
		upgraded               bool
	}{
		"without a fault":           {upgraded: true},
		"fault of the work":         {work: fault, failed: fault, upgraded: true},
		"fault of the installation": {install: fault, failed: fault},
		"fault of the upgrade":      {upgrade: fault, up: fault, upgraded: true},
	} {
		upgraded := false
		does := func(err error) func(context.Context, *Environment) error {
			return func(context.Context, *Environment) error { return err }
		}
		i := installation{
			installed: make(chan bool, 1), install: does(test.install), work: does(test.work),
			upgrade: func(context.Context, *Environment) error { upgraded = true; return test.upgrade },
		}
		var group errgroup.Group // as an environment starts its parts
		group.Go(func() error { return i.onProxy(t.Context(), nil) })
		group.Go(func() error { return i.onCluster(t.Context(), nil) })
		if up := group.Wait(); !errors.Is(up, test.up) || !errors.Is(i.failed, test.failed) || upgraded != test.upgraded {
			t.Errorf("%s: the start ends with %v, the work with %v, upgraded: %t", name, up, i.failed, upgraded)
		}
	}
}
