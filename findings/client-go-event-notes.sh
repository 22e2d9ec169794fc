#!/bin/bash
# client-go-event-notes.sh: messages that differ meet the recorder of events.k8s.io.
#
# Version: k8s.io/client-go v0.37.2.
#
# Expected: the recorder of tools/events, which takes the place of the deprecated one of
# tools/record (as controller-runtime's GetEventRecorder does), records the same events by
# another API. Four warnings with four messages are four messages in "kubectl describe".
# Happens: to the new recorder, events of an object with one reason and one action are
# one series, however their notes differ. The first creates the event, the second
# raises its count, and the later ones are counted in memory for many minutes. Only
# the first note is ever written. Of four messages three are lost, without an error or a
# log line. (The proposal of the API lists the fields that are compared; the note is not
# among them.) The old recorder compares messages, and writes all four.
# Matters: controllers put what differs into the message: the host that was denied, the
# pod that failed, the version that was refused. After the change of recorders, a user who
# has repaired the first error reads it again, with a growing count, in the place of the
# second. To be seen at once, a message needs a reason, an action or a related object of
# its own.
set -euo pipefail
shopt -s inherit_errexit

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export CGO_ENABLED=0

cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/tools/record"
)

var (
	pod   = &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "pod", UID: "uid"}}
	hosts = []string{"a.example.test", "b.example.test", "c.example.test", "d.example.test"}
)

func main() {
	ctx := context.Background()

	client := fake.NewClientset()
	broadcaster := record.NewBroadcaster(record.WithContext(ctx))
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: client.CoreV1().Events("")})
	recorder := broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "finding"})
	each(func(host string) { recorder.Eventf(pod, "Warning", "Denied", "%s is denied", host) })
	old, err := client.CoreV1().Events("default").List(ctx, metav1.ListOptions{})
	check(err)
	for _, event := range old.Items {
		fmt.Printf("tools/record: %q, count %d\n", event.Message, event.Count)
	}

	client = fake.NewClientset()
	broadcaster2 := events.NewBroadcaster(&events.EventSinkImpl{Interface: client.EventsV1()})
	check(broadcaster2.StartRecordingToSinkWithContext(ctx))
	recorder2 := broadcaster2.NewRecorder(scheme.Scheme, "example.test/finding")
	each(func(host string) { recorder2.Eventf(pod, nil, "Warning", "Denied", "Check", "%s is denied", host) })
	series, err := client.EventsV1().Events("default").List(ctx, metav1.ListOptions{})
	check(err)
	for _, event := range series.Items {
		fmt.Printf("tools/events: %q, count %d\n", event.Note, event.Series.Count)
	}
}

// each waits after each host, because the recorders write in the background.
func each(record func(host string)) {
	for _, host := range hosts {
		record(host)
		time.Sleep(2 * time.Second)
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
GO
{
	go mod init finding.test
	go get k8s.io/client-go/kubernetes/fake@v0.37.2 k8s.io/client-go/tools/events@v0.37.2 k8s.io/client-go/tools/record@v0.37.2
	nice -n 5 go build -o run .
} >log 2>&1 || { cat log >&2 && exit 1; }
output=$(./run)
echo "$output"

if [ "$output" != 'tools/record: "a.example.test is denied", count 1
tools/record: "b.example.test is denied", count 1
tools/record: "c.example.test is denied", count 1
tools/record: "d.example.test is denied", count 1
tools/events: "a.example.test is denied", count 2' ]; then
	echo "the behaviour has changed" >&2
	exit 1
fi
