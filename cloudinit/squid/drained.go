package squid

import (
	"bytes"
	"errors"
	"regexp"
)

// drainingLine is a comment line of a drained squid.conf. The machine reads it: it reports
// the number of open connections meanwhile.
const drainingLine = "# draining"

var (
	// statusPortLine opens the port for the state, on all addresses.
	statusPortLine = regexp.MustCompile(`(?m)^http_port (?:\S*:)?(\d+) (accel name=manager_port)$`)
	// statusPageLine answers requests on it with the page of the tenants.
	statusPageLine = regexp.MustCompile(`(?m)^http_access deny manager_port status_method status_path status$`)
)

var errNotDrainable = errors.New("the squid.conf has no port for the state: it is not one of egress.scw, or of an early version")

// Drained returns the form of a rendered squid.conf that a machine serves before it is
// taken away: the cluster finds that the machine does not tell its state, and leads no new
// connections to it. The port for the state is on loopback alone, for the programs of the
// machine that read Squid's statistics, and requests on connections of before do not get
// the page either. All tenants are served as before.
//
// A drained file is returned as it is. It is an error if the file has no port for the
// state.
func Drained(conf []byte) ([]byte, error) {
	if IsDrained(conf) {
		return conf, nil
	}
	if len(statusPortLine.FindAll(conf, 2)) != 1 || len(statusPageLine.FindAll(conf, 2)) != 1 {
		return nil, errNotDrainable
	}
	conf = statusPortLine.ReplaceAll(conf, []byte("http_port 127.0.0.1:$1 $2"))
	return statusPageLine.ReplaceAll(conf, []byte(drainingLine)), nil
}

// IsDrained returns whether a squid.conf is a result of Drained.
func IsDrained(conf []byte) bool {
	return bytes.Contains(conf, []byte("\n"+drainingLine+"\n"))
}
