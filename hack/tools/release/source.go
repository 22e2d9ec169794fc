package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"
)

// source is the checkout that is released.
type source struct {
	// Dir is the folder of the checkout.
	Dir string
	// Version is the semantic version, without a leading v.
	Version string
	// Revision is the commit. "-dirty" follows if the working tree has changes.
	Revision string
	// Time is the time of the commit. Files carry it in place of the time of the
	// build, so that two builds of a commit are equal.
	Time time.Time
}

// readSource reads version, commit and time of a checkout. A version of "" is
// replaced by that of the commit's tag; it is an error if there is no such tag,
// or if the working tree has changes that the tag does not cover.
func readSource(ctx context.Context, dir, version string) (source, error) {
	s := source{Dir: dir}
	revision, err := git(ctx, dir, "rev-parse", "HEAD")
	if err != nil {
		return source{}, err
	}
	seconds, err := git(ctx, dir, "show", "--no-patch", "--format=%ct", "HEAD")
	if err != nil {
		return source{}, err
	}
	unix, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return source{}, fmt.Errorf("time of commit %s: %w", revision, err)
	}
	changes, err := git(ctx, dir, "status", "--porcelain")
	if err != nil {
		return source{}, err
	}
	s.Revision, s.Time = revision, time.Unix(unix, 0).UTC()
	if changes != "" {
		s.Revision += "-dirty"
	}
	switch {
	case version != "":
		s.Version, err = parseVersion(version)
	case changes != "":
		err = errors.New("the working tree has changes that are not committed, so its tag does not describe it: commit them, or pass VERSION=0.1.0")
	default:
		s.Version, err = taggedVersion(ctx, dir)
	}
	return s, err
}

// parseVersion checks a semantic version and drops a leading v. Build metadata
// is refused: the tag of an image cannot contain a plus sign.
func parseVersion(text string) (string, error) {
	version, err := semver.StrictNewVersion(strings.TrimPrefix(text, "v"))
	if err != nil {
		return "", fmt.Errorf("version %q: %w: write a semantic version, such as 0.1.0 or 0.2.0-rc.1", text, err)
	}
	if version.Metadata() != "" {
		return "", fmt.Errorf("version %q has build metadata (+%s), which the tag of an image cannot contain: leave it out", text, version.Metadata())
	}
	return version.String(), nil
}

// taggedVersion returns the version of the one version tag, such as v0.1.0, of
// the commit that is checked out.
func taggedVersion(ctx context.Context, dir string) (string, error) {
	tags, err := git(ctx, dir, "tag", "--points-at", "HEAD", "--list", "v[0-9]*")
	if err != nil {
		return "", err
	}
	switch found := strings.Fields(tags); len(found) {
	case 0:
		return "", errors.New("the commit that is checked out has no version tag: create one (git tag v0.1.0), or pass VERSION=0.1.0")
	case 1:
		version, err := parseVersion(found[0])
		if err != nil {
			return "", fmt.Errorf("tag of the commit that is checked out: %w", err)
		}
		return version, nil
	default:
		return "", fmt.Errorf("the commit that is checked out has several version tags: %s: pass VERSION to choose one", strings.Join(found, ", "))
	}
}

// git returns the output of a git command without spaces at its ends.
func git(ctx context.Context, dir string, args ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", dir}, args...)...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		name, absErr := filepath.Abs(dir)
		if absErr != nil {
			name = dir
		}
		return "", fmt.Errorf("git %s in %s: %w: %s", args[0], name, err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(stdout.String()), nil
}
