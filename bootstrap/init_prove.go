package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"syscall"
	"time"

	"egress.scw/bootstrap/scaleway"
)

// prove reads .env again and uses its key. Then it deletes the former key and confirms
// the new one. If the key does not work, the former content of .env is restored.
func (w *keyWork) prove(ctx context.Context, access, former string) error {
	kept := ""
	if former != "" {
		kept = fmt.Sprintf(", and the former key %s still exists", former)
	}
	written, err := w.readEnvFile()
	if err != nil {
		return err
	}
	credentials, err := w.credentialsIn(written)
	if err != nil {
		return err
	}
	if err := scaleway.Prove(ctx, credentials, w.spec, w.scaleway); err != nil {
		if ctx.Err() != nil || w.env.get(accessKeyVariable) == access {
			return errors.Join(err, fmt.Errorf("%s has the API key %s, which is not proved yet%s", w.env.path, access, kept))
		}
		return errors.Join(fmt.Errorf("proving the API key %s: %w", access, err), w.restore(ctx, credentials, kept))
	}
	if former != "" {
		if err := w.iam.DeleteKey(ctx, former); err != nil {
			return errors.Join(err, fmt.Errorf("%s has the API key %s, which works%s", w.env.path, access, kept))
		}
		w.note("deleted the former API key %s", former)
	}
	if err := w.iam.ConfirmKey(ctx, access); err != nil {
		return errors.Join(err, fmt.Errorf("%s has the API key %s, which works; its description at Scaleway still ends with \"not confirmed\"", w.env.path, access))
	}
	return nil
}

// restore brings back the former .env, and deletes the new key.
func (w *keyWork) restore(ctx context.Context, key scaleway.Credentials, kept string) error {
	if err := w.env.restore(); err != nil {
		return errors.Join(err, fmt.Errorf("%s has the API key %s, which is not proved%s", w.env.path, key.AccessKey(), kept))
	}
	return w.discard(ctx, key)
}

// discard deletes a key that is not written, also after the context has ended.
func (w *keyWork) discard(ctx context.Context, key scaleway.Credentials) error {
	const timeout = 10 * time.Second
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	if err := w.iam.DeleteKey(ctx, key.AccessKey()); err != nil {
		return fmt.Errorf("the API key %s, which is written nowhere, remains at Scaleway: the next run deletes it (%w)", key.AccessKey(), err)
	}
	w.note("deleted the API key %s again", key.AccessKey())
	return nil
}

// deliver proves and confirms a key, and prints it as a Secret.
func (w *keyWork) deliver(ctx context.Context, application string, key scaleway.Credentials) error {
	err := scaleway.Prove(ctx, key, w.spec, w.scaleway)
	if err == nil {
		err = w.iam.ConfirmKey(ctx, key.AccessKey())
	}
	if err == nil {
		err = w.print(key)
	}
	if err != nil {
		return errors.Join(err, w.discard(ctx, key))
	}
	w.nameOthers(ctx, application, key.AccessKey())
	return nil
}

// nameOthers prints the other keys of the application: they work, and may be in use.
// The new key is written and proved, so that a failure is only a warning.
func (w *keyWork) nameOthers(ctx context.Context, application, access string) {
	keys, err := w.iam.Keys(ctx, application)
	if err != nil {
		w.note("Warning: other API keys of the application %s are not known: %v", w.iam.ApplicationName(), err)
	}
	for _, other := range keys {
		if other.AccessKey != access {
			w.note("the application has a former API key %s: when the new one is in use everywhere, delete it: scw iam api-key delete %s",
				other.AccessKey, other.AccessKey)
		}
	}
}

// print prints the Secret, and nothing else, to standard output.
func (w *keyWork) print(key scaleway.Credentials) error {
	text, err := secretManifest(secretName(w.spec.Name), w.options.namespace, key)
	if err != nil {
		return err
	}
	// If the reader of a pipe has ended, the signal would end the process here, and a key
	// would remain whose secret is lost. The error of the write leads to its deletion.
	signal.Ignore(syscall.SIGPIPE)
	if _, err = w.stdout.Write(text); err != nil {
		return fmt.Errorf("--output: the Secret cannot be written: %w", err)
	}
	return nil
}
