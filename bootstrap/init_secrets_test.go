package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestInitSecrets looks for keys in everything that init prints and writes, except .env.
func TestInitSecrets(t *testing.T) {
	t.Parallel()
	for _, trouble := range append(troubles(), trouble{name: "none"}) {
		t.Run(trouble.name, func(t *testing.T) {
			t.Parallel()
			w := newWatched(t, baseConfig)
			w.env = map[string]*string{"SCW_DEBUG": new("1"), asImpatient: new("1s")}
			secrets := encoded(canarySecretKey)
			for _, args := range [][]string{{"init", "--create-key"}, {"init", "--rotate"}, {"init", "--force"}} {
				w.SetFaults(trouble.faults)
				w.tap.spoilBy(trouble.spoil)
				for _, faulty := range []bool{true, false} {
					cmd, output := w.process(t.Context(), args...)
					err := cmd.Run()
					if cmd.ProcessState == nil || !faulty && err != nil || strings.Contains(output.String(), "goroutine ") {
						t.Errorf("%q: %v\n%s", args, err, output)
					}
					env, _ := os.ReadFile(filepath.Join(w.dir, ".env")) // may be missing after a failure
					if secret := (envFile{text: env}).get(secretKeyVariable); secret != "" {
						secrets = append(secrets, encoded(secret)...)
					}
					requireNone(t, strings.Join(args, " "), output.String(), secrets)
					w.SetFaults(nil)
					w.tap.spoilBy(nil)
				}
			}
			requireNone(t, "the fake's log", w.log.String(), secrets)
			err := filepath.WalkDir(w.dir, func(path string, entry fs.DirEntry, err error) error {
				if err != nil || entry.IsDir() || entry.Name() == ".env" {
					return err
				}
				text, err := os.ReadFile(path)
				requireNone(t, path, string(text), secrets)
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}
