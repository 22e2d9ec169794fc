#!/bin/bash
# kubectl-library-stdin.sh: kubectl's library meets a program that has an input of its own.
#
# Version: k8s.io/kubectl and k8s.io/cli-runtime v0.37.2.
#
# Expected: each command of the library gets three streams, genericiooptions.IOStreams, and
# reads "-f -" from the first, In, as it writes to the others, Out and ErrOut.
# Happens: "-f -" reads the standard input of the process (os.Stdin in cli-runtime's
# resource/visitor.go), whatever In is. A manifest in In is never read. What the process
# has as its input is taken for the manifest instead, without a message.
# Matters: programs that contain kubectl's commands (plugins, operators, tests) run several
# of them, with a buffer as the input of each. With an empty input of the process, "label"
# succeeds and changes nothing. With a pipe, a command takes what comes from there, or waits
# for its end. A manifest needs a file of its own.
set -euo pipefail
shopt -s inherit_errexit

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export CGO_ENABLED=0

# "label --local" changes a manifest without a server.
cat >main.go <<'GO'
package main

import (
	"fmt"
	"os"
	"strings"

	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/kubectl/pkg/cmd/label"
	cmdutil "k8s.io/kubectl/pkg/cmd/util"
)

const manifest = "{apiVersion: v1, kind: ConfigMap, metadata: {name: of-the-stream}}"

func main() {
	in := strings.NewReader(manifest)
	streams := genericiooptions.IOStreams{In: in, Out: os.Stdout, ErrOut: os.Stderr}
	command := label.NewCmdLabel(cmdutil.NewFactory(genericclioptions.NewConfigFlags(false)), streams)
	command.SetArgs([]string{"--local", "-f", "-", "tested=yes", "-o", "name"})
	command.SetIn(in)
	err := command.Execute()
	fmt.Printf("error: %v; %d of %d bytes of the stream are left\n", err, in.Len(), len(manifest))
}
GO
{
	go mod init finding.test
	go get k8s.io/kubectl/pkg/cmd/label@v0.37.2 k8s.io/cli-runtime/pkg/genericiooptions@v0.37.2
	nice -n 5 go build -o run .
} >log 2>&1 || { cat log >&2 && exit 1; }

output=$(
	echo 'the input of the process is empty:'
	./run </dev/null
	echo 'the input of the process is another manifest:'
	echo '{apiVersion: v1, kind: ConfigMap, metadata: {name: of-the-process}}' | ./run
)
echo "$output"

if [ "$output" != 'the input of the process is empty:
error: <nil>; 66 of 66 bytes of the stream are left
the input of the process is another manifest:
configmap/of-the-process
error: <nil>; 66 of 66 bytes of the stream are left' ]; then
	echo "the behaviour has changed" >&2
	exit 1
fi
