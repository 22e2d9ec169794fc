// Package process starts programs that outlive their parent, and finds them
// again: each has its environment's folder and its own name in its environment
// variables, from the moment it exists. There is no file of PIDs that a crash
// could leave behind or that could be out of date.
package process

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
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
	// Name is unique among the processes of its environment. The log is
	// NAME.log in the environment's folder "logs".
	Name string
	// Path and Args are the program and its arguments.
	Path string
	Args []string
	// Env is added to PATH and HOME, the only inherited variables.
	Env []string
	// Netns is the network namespace to run in. Empty: the caller's.
	Netns string
}

// Process is a running process of an environment.
type Process struct {
	Name string
	PID  int
	// started is the kernel's start time in clock ticks since boot.
	// Together with the PID it identifies a process uniquely.
	started uint64
}

// Environment is the folder of a group of processes.
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

// LogFile is the path of the log of the process with that name.
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

// Start starts the command in a session of its own. Its output is appended to
// its log. Start returns once the program runs. It does not wait to see whether
// it keeps running.
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
	cmd := exec.Command(argv[0], argv[1:]...) //nolint:noctx // the process must outlive every context of this one
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}, c.Env...)
	cmd.Env = append(cmd.Env, environmentVariable+"="+string(e), nameVariable+"="+c.Name)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return Process{}, fmt.Errorf("starting %s: %w", c.Name, err)
	}
	go func() { _ = cmd.Wait() }() // reaps it if it ends before its parent does
	p := Process{Name: c.Name, PID: cmd.Process.Pid}
	p.started, _ = startTime(p.PID)
	return p, nil
}

// List returns the environment's running processes, the oldest first. Children
// of a listed process inherit its variables and are listed too.
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

// Executables returns the files that processes run, apart from those of other users,
// which only root sees.
func Executables() ([]fs.FileInfo, error) {
	pids, err := processIDs()
	if err != nil {
		return nil, err
	}
	var found []fs.FileInfo
	for _, pid := range pids {
		// The link leads to the file even if its name is gone, or belongs to another file now.
		if info, err := os.Stat(fmt.Sprintf("/proc/%d/exe", pid)); err == nil {
			found = append(found, info)
		}
	}
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

// marks returns the environment of a process, and its name there. Both are
// empty for foreign processes, among them those of other users, which cannot be
// read.
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
// middle of an exec the kernel shows none: readEnviron tries again. On a busy
// machine a process may be preempted there for a while.
func readEnviron(pid int) ([]byte, error) {
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err != nil || len(environ) > 0 || time.Now().After(deadline) {
			return environ, err
		}
		// Kernel threads and zombies do not have a program either.
		if _, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err != nil {
			return nil, err
		}
		// Some programs are started without variables.
		if empty, err := hasEmptyEnviron(pid); err != nil || empty {
			return nil, err
		}
	}
}

// hasEmptyEnviron reports whether a process was started without variables:
// whether env_start and env_end (fields 50 and 51 of its stat file) are equal.
// They are in the middle of an exec too, but then startcode (field 26) is still
// 0: the kernel sets it last.
func hasEmptyEnviron(pid int) (bool, error) {
	fields, err := readStat(pid)
	if err != nil {
		return false, err
	}
	return fields[26-firstField] != "0" && fields[50-firstField] == fields[51-firstField], nil
}

// Stop ends the environment's processes with the given names, or all of them,
// the youngest first: each gets SIGTERM and, after the grace period, SIGKILL.
// It repeats until the list is empty: a process may start another one while it
// ends.
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

// Alive reports whether the process still runs. A zombie does not.
func (p Process) Alive() bool {
	started, err := startTime(p.PID)
	return err == nil && started == p.started
}

// Stop terminates the process, kills it after the grace period, and waits until
// it has ended.
func (p Process) Stop(ctx context.Context, grace time.Duration) error {
	if !p.Alive() {
		return nil
	}
	_ = syscall.Kill(p.PID, syscall.SIGTERM) // it may have ended meanwhile
	killAt := time.Now().Add(grace)
	for killed := false; p.Alive(); {
		if !killed && time.Now().After(killAt) {
			_ = syscall.Kill(p.PID, syscall.SIGKILL)
			killed = true
		}
		if killed && time.Now().After(killAt.Add(time.Minute)) {
			return fmt.Errorf("process %d (%s) still runs after SIGKILL", p.PID, p.Name)
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
	fields, err := readStat(pid)
	if err != nil {
		return 0, err
	}
	if state := fields[3-firstField]; state == "Z" || state == "X" {
		return 0, os.ErrProcessDone
	}
	return strconv.ParseUint(fields[22-firstField], 10, 64)
}

// firstField is the number of the first field that readStat returns.
const firstField = 3

// readStat returns the fields of /proc/PID/stat from the third on. The second,
// in parentheses, may contain any characters, also spaces and parentheses.
func readStat(pid int) ([]string, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	fields := strings.Fields(string(content[bytes.LastIndexByte(content, ')')+1:]))
	if len(fields) < 51-firstField+1 {
		return nil, fmt.Errorf("/proc/%d/stat: unexpected format", pid)
	}
	return fields, nil
}
