package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// options are the flags of all commands.
type options struct {
	config       string
	yes          bool
	output       string
	parallelism  int
	timeout      time.Duration
	allowReplace bool
	wait         bool
	drainTimeout time.Duration
	only         string
	machine      string

	// Of watch.
	interval     time.Duration
	allowDelete  bool
	namespace    string
	listen       string
	listenHealth string
}

// Values of flags.
const (
	outputTable = "table"
	outputJSON  = "json"

	onlyUserData  = "user-data"
	onlySquidConf = "squid-conf"
	onlyValues    = "values"

	maxParallelism     = 64
	defaultParallelism = 8
	defaultTimeout     = 30 * time.Minute
	defaultDrain       = time.Minute

	minInterval     = 10 * time.Second
	maxInterval     = time.Hour
	defaultInterval = time.Minute
)

func outputs() []string { return []string{outputTable, outputJSON} }

func onlyParts() []string { return []string{onlyUserData, onlySquidConf, onlyValues} }

func defaultOptions() options {
	return options{output: outputTable, parallelism: defaultParallelism, timeout: defaultTimeout, drainTimeout: defaultDrain, interval: defaultInterval}
}

func (o *options) addConfig(command *cobra.Command) {
	command.PersistentFlags().StringVarP(&o.config, "config", "c", "egress.yaml", "configuration `file`; relative paths of spec.outputs start at its folder")
	_ = command.MarkPersistentFlagFilename("config", "yaml", "yml") // fails only for an undefined flag
}

func (o *options) addOutput(command *cobra.Command) {
	command.Flags().StringVarP(&o.output, "output", "o", outputTable, "`format` of the output: table or json")
	_ = command.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(outputs(), cobra.ShellCompDirectiveNoFileComp))
}

func (o *options) addTimeout(command *cobra.Command) {
	command.Flags().DurationVar(&o.timeout, "timeout", defaultTimeout, "maximum `duration` of the whole run; 0 for no limit")
}

func (o *options) addRun(command *cobra.Command, yes string) {
	command.Flags().BoolVarP(&o.yes, "yes", "y", false, yes)
	command.Flags().IntVar(&o.parallelism, "parallelism", defaultParallelism, "maximum `number` of steps that run at the same time, 1 to 64")
}

func (o *options) addAllowReplace(command *cobra.Command) {
	command.Flags().BoolVar(&o.allowReplace, "allow-replace", false, "with --yes: also replace resources that cannot be changed in place")
}

func (o *options) addWait(command *cobra.Command) {
	command.Flags().BoolVar(&o.wait, "wait", true, "wait until the proxy reports that it serves the configuration, at most 2 minutes")
}

func (o *options) addDrainTimeout(command *cobra.Command) {
	command.Flags().DurationVar(&o.drainTimeout, "drain-timeout", defaultDrain, "maximum `duration` for which a machine that is taken away waits for its open connections to end; 0 to end them")
}

func (o *options) addWatch(command *cobra.Command) {
	flags := command.Flags()
	flags.DurationVar(&o.interval, "interval", defaultInterval, "`duration` between two plans, 10s to 1h")
	flags.BoolVar(&o.allowReplace, "allow-replace", false, "also replace resources that cannot be changed in place")
	flags.BoolVar(&o.allowDelete, "allow-delete", false, "also delete resources that are no longer wanted")
	flags.StringVar(&o.namespace, "namespace", chartNamespace, "`name` of the namespace of the chart")
	flags.StringVar(&o.listen, "listen", ":8080", "`address` of the metrics; empty for none")
	flags.StringVar(&o.listenHealth, "listen-health", ":8081", "`address` of the health, for the kubelet; empty for none")
	flags.IntVar(&o.parallelism, "parallelism", defaultParallelism, "maximum `number` of steps that run at the same time, 1 to 64")
	flags.DurationVar(&o.timeout, "timeout", defaultTimeout, "maximum `duration` of one plan and its execution")
}

func (o *options) addOnly(command *cobra.Command) {
	command.Flags().StringVar(&o.only, "only", "", "print one `part` only: user-data, squid-conf or values")
	command.Flags().StringVar(&o.machine, "machine", "", "with --only user-data or squid-conf: the `machine`, such as proxy-2; the first one by default")
	_ = command.RegisterFlagCompletionFunc("only", cobra.FixedCompletions(onlyParts(), cobra.ShellCompDirectiveNoFileComp))
}

// validate returns everything that is wrong with the values of the flags.
func (o *options) validate() error {
	var errs []error
	if !slices.Contains(outputs(), o.output) {
		errs = append(errs, notOneOf("--output", o.output, outputs()))
	}
	if o.only != "" && !slices.Contains(onlyParts(), o.only) {
		errs = append(errs, notOneOf("--only", o.only, onlyParts()))
	}
	if o.machine != "" && (o.only == "" || o.only == onlyValues) {
		errs = append(errs, errors.New("--machine: needs --only user-data or --only squid-conf, which each machine has of its own"))
	}
	if o.parallelism < 1 || o.parallelism > maxParallelism {
		errs = append(errs, fmt.Errorf("--parallelism: is %d, must be 1 to %d", o.parallelism, maxParallelism))
	}
	if o.timeout < 0 {
		errs = append(errs, fmt.Errorf("--timeout: is %s, must be at least 0, which means no limit", o.timeout))
	}
	if o.drainTimeout < 0 {
		errs = append(errs, fmt.Errorf("--drain-timeout: is %s, must be at least 0, which ends open connections", o.drainTimeout))
	}
	return errors.Join(errs...)
}

// validateWatch returns everything that is wrong with the flags of watch alone.
func (o *options) validateWatch() error {
	var errs []error
	if o.interval < minInterval || o.interval > maxInterval {
		errs = append(errs, fmt.Errorf("--interval: is %s, must be %s to %s", o.interval, minInterval, maxInterval))
	}
	if o.timeout == 0 {
		errs = append(errs, errors.New("--timeout: is 0, must be longer: a plan that does not end would be the last one"))
	}
	return errors.Join(errs...)
}

func notOneOf(flag, value string, all []string) error {
	return fmt.Errorf("%s: is %q, must be %s", flag, value, strings.Join(all, " or "))
}
