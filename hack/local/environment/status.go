package environment

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"egress.scw/hack/local/network"
	"egress.scw/hack/local/process"
)

// Status writes the existing parts of the environment. It returns an error if
// the environment is not up completely.
func Status(ctx context.Context, w io.Writer) error {
	if _, err := os.Stat(Dir); errors.Is(err, os.ErrNotExist) {
		return errors.New("no local environment: make local-up brings it up")
	}
	if os.Geteuid() != 0 {
		return errors.New("showing the local environment needs root: its processes run as root")
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	processes, err := process.Environment(Dir).List()
	if err != nil {
		return err
	}
	fmt.Fprintln(table, "PROCESS\tPID\tLOG")
	for _, p := range processes {
		fmt.Fprintf(table, "%s\t%d\t%s\n", p.Name, p.PID, process.Environment(Dir).LogFile(p.Name))
	}
	existing, err := network.Existing(ctx, network.DefaultPlan())
	if err != nil {
		return err
	}
	fmt.Fprintln(table, "\nNETWORK")
	for _, thing := range existing {
		fmt.Fprintln(table, thing)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if !isUp() {
		return errors.New("the environment is incomplete: make local-down removes it")
	}
	return nil
}
