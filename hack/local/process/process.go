// Package process starts programs that outlive the program that started them,
// and finds them again: every one carries its environment's folder and its own
// name in its environment variables, from the moment it exists. There is no
// file of process numbers that a crash could leave behind or out of date.
package process

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Variables that mark a process as belonging to an environment.
const (
	environmentVariable = "EGRESS_ENVIRONMENT"
	nameVariable        = "EGRESS_PROCESS"
)

// Command is a program to be started.
type Command struct {
	// Name tells the process from the others of its environment. The log is
	// NAME.log in the environment's folder "logs".
	Name string
	// Path and Args are the program and its arguments.
	Path string
	Args []string
	// Env is added to PATH and HOME, which are all that is inherited.
	Env []string
	// Netns is the network namespace to run in; empty: the caller's.
	Netns string
}

// Process is a running process of an environment.
type Process struct {
	Name string
	PID  int
	// started is the kernel's start time in clock ticks since boot: together
	// with the number it identifies a process for good.
	started uint64
}

// Environment is the folder whose processes belong together.
type Environment string

// Environments returns every environment of this user that has a process.
func Environments() ([]Environment, error) {
	pids, err := processIDs()
	if err != nil {
		return nil, err
	}
	found := map[Environment]bool{}
	for _, pid := range pids {
		if environment, _ := marks(pid); environment != "" {
			found[environment] = true
		}
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// LogFile is where the output of the process of that name is kept.
func (e Environment) LogFile(name string) string {
	return filepath.Join(string(e), "logs", name+".log")
}

// Tail returns the end of a process's log, for errors about the process.
func (e Environment) Tail(name string) string {
	const size = 2 << 10
	log, err := os.ReadFile(e.LogFile(name))
	if err != nil {
		return err.Error()
	}
	if len(log) > size {
		log = append([]byte("... "), log[len(log)-size:]...)
	}
	return string(bytes.TrimSpace(log))
}

// Start starts the command in a session of its own, its output appended to its
// log. It returns once the program runs; whether it stays is for the caller to
// find out.
func (e Environment) Start(c Command) (Process, error) {
	if err := os.MkdirAll(filepath.Dir(e.LogFile(c.Name)), 0o755); err != nil {
		return Process{}, err
	}
	log, err := os.OpenFile(e.LogFile(c.Name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return Process{}, err
	}
	defer log.Close()

	argv := append([]string{c.Path}, c.Args...)
	if c.Netns != "" {
		argv = append([]string{"nsenter", "--net=/run/netns/" + c.Netns}, argv...)
	}
	cmd := exec.Command(argv[0], argv[1:]...) //nolint:noctx // the process is to outlive every context of this one
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}, c.Env...)
	cmd.Env = append(cmd.Env, environmentVariable+"="+string(e), nameVariable+"="+c.Name)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return Process{}, fmt.Errorf("starting %s: %w", c.Name, err)
	}
	go func() { _ = cmd.Wait() }() // reaps it should it end before its parent does
	p := Process{Name: c.Name, PID: cmd.Process.Pid}
	p.started, _ = startTime(p.PID)
	return p, nil
}

// List returns the environment's running processes, the oldest first. Those
// that a listed process started carry its marks too and are listed beside it.
func (e Environment) List() ([]Process, error) {
	pids, err := processIDs()
	if err != nil {
		return nil, err
	}
	var found []Process
	for _, pid := range pids {
		if environment, name := marks(pid); environment == e {
			if started, err := startTime(pid); err == nil {
				found = append(found, Process{Name: name, PID: pid, started: started})
			}
		}
	}
	slices.SortFunc(found, func(a, b Process) int {
		return cmp.Or(cmp.Compare(a.started, b.started), cmp.Compare(a.PID, b.PID))
	})
	return found, nil
}

func processIDs() ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// marks returns the environment that a process belongs to, and its name there;
// nothing for foreign processes, among them those of other users, which cannot
// be read.
func marks(pid int) (environment Environment, name string) {
	environ, err := readEnviron(pid)
	if err != nil {
		return "", ""
	}
	for variable := range bytes.SplitSeq(environ, []byte{0}) {
		key, value, _ := strings.Cut(string(variable), "=")
		switch key {
		case environmentVariable:
			environment = Environment(value)
		case nameVariable:
			name = value
		}
	}
	return environment, name
}

// readEnviron returns the variables that a process was started with. In the
// middle of an exec there are none to be seen for a moment: it looks again.
func readEnviron(pid int) ([]byte, error) {
	for attempt := 0; ; attempt++ {
		environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err != nil || len(environ) > 0 || attempt == 20 {
			return environ, err
		}
		// Threads of the kernel, and zombies, have no program either.
		if _, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err != nil {
			return nil, err
		}
		time.Sleep(time.Millisecond)
	}
}

// Stop ends the environment's processes of the given names, or all of them:
// the youngest first, each asked (SIGTERM) and, after the grace, killed. It
// looks again until none is left: what dies may have just started another.
func (e Environment) Stop(ctx context.Context, grace time.Duration, names ...string) error {
	for {
		processes, err := e.List()
		if err != nil {
			return err
		}
		if len(names) > 0 {
			processes = slices.DeleteFunc(processes, func(p Process) bool { return !slices.Contains(names, p.Name) })
		}
		if len(processes) == 0 {
			return nil
		}
		var errs []error
		for _, p := range slices.Backward(processes) {
			errs = append(errs, p.Stop(ctx, grace))
		}
		if err := errors.Join(errs...); err != nil {
			return err
		}
	}
}

// Alive says whether the process still runs. A zombie does not.
func (p Process) Alive() bool {
	started, err := startTime(p.PID)
	return err == nil && started == p.started
}

// Stop asks the process to end, kills it after the grace, and waits until it is gone.
func (p Process) Stop(ctx context.Context, grace time.Duration) error {
	if !p.Alive() {
		return nil
	}
	_ = syscall.Kill(p.PID, syscall.SIGTERM) // gone in between: just what is wanted
	killAt := time.Now().Add(grace)
	for killed := false; p.Alive(); {
		if !killed && time.Now().After(killAt) {
			_ = syscall.Kill(p.PID, syscall.SIGKILL)
			killed = true
		}
		if killed && time.Now().After(killAt.Add(10*time.Second)) {
			return fmt.Errorf("process %d (%s) survives SIGKILL", p.PID, p.Name)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// startTime reads field 22 of /proc/PID/stat (proc(5)), and fails for zombies.
func startTime(pid int) (uint64, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The second field, in parentheses, may hold anything, spaces and
	// parentheses included; what follows the last one starts at field 3.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 20 {
		return 0, fmt.Errorf("/proc/%d/stat: unexpected format", pid)
	}
	if fields[0] == "Z" || fields[0] == "X" {
		return 0, os.ErrProcessDone
	}
	return strconv.ParseUint(fields[19], 10, 64)
}
