package proxy

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"
	"testing"

	"egress.scw/hack/local/machine"
)

// containerBase makes the root filesystem that the Dockerfile begins with: a Debian whose
// apt has the packages of the machine, and whose packages start no daemon.
const containerBase = `
mount -t overlay egress-container -o "$layers" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mkdir "$root/packages"
mount --bind "$packages" "$root/packages"
echo 'deb [trusted=yes] file:/packages ./' > "$root/etc/apt/sources.list"
printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
export DEBIAN_FRONTEND=noninteractive
cd "$repository"
`

// containerStart runs before the Dockerfile's last line: the container is started without a
// squid.conf of bootstrap render first.
const containerStart = `
refused() { echo "the container starts without a squid.conf of bootstrap render"; exit 1; }
`

// dockerScript turns a Dockerfile into two parts of a shell script: its commands, and the
// start of the container, which replaces the shell. $root is the root filesystem.
func dockerScript(t *testing.T, dockerfile string) (build, start string) {
	t.Helper()
	var script strings.Builder
	for line := range strings.Lines(strings.ReplaceAll(dockerfile, "\\\n", " ")) {
		instruction, arguments, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case instruction == "" || strings.HasPrefix(instruction, "#"):
		case instruction == "FROM":
			if want := "debian:" + string(machine.Trixie) + "-slim"; arguments != want {
				t.Fatalf("FROM %s, but the test has the packages of %s", arguments, want)
			}
		case instruction == "RUN":
			script.WriteString(`chroot "$root" sh -ec ` + quote(arguments) + "\n")
		case instruction == "COPY":
			files := strings.Fields(arguments)
			mode := "u=rwX,go=rX" // of a checkout with the usual umask
			if given, ok := strings.CutPrefix(files[0], "--chmod="); ok {
				mode, files = given, files[1:]
			}
			folder := files[len(files)-1]
			if !strings.HasSuffix(folder, "/") {
				t.Fatalf("COPY %s: the test copies into folders only, whose path ends with /", arguments)
			}
			for _, file := range files[:len(files)-1] {
				fmt.Fprintf(&script, "mkdir -p \"$root%[2]s\"\ncp %[1]s \"$root%[2]s\"\nchmod %[3]s \"$root%[2]s%[4]s\"\n", file, folder, mode, path.Base(file))
			}
		case instruction == "ENTRYPOINT":
			var argv []string
			if err := json.Unmarshal([]byte(arguments), &argv); err != nil {
				t.Fatalf("ENTRYPOINT %s: %v", arguments, err)
			}
			for i := range argv {
				argv[i] = quote(argv[i])
			}
			command := `chroot "$root" ` + strings.Join(argv, " ")
			start = command + " && refused\ncp \"$conf\" \"$root/etc/squid/squid.conf\"\nexec " + command + "\n"
		default:
			t.Fatalf("the test does not know the instruction %s", instruction)
		}
	}
	if start == "" {
		t.Fatal("no ENTRYPOINT")
	}
	return script.String(), start
}

// quote quotes a word for a shell.
func quote(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }
