package stack

import "slices"

// order adds the dependencies that follow from deletions. The dependencies
// between created resources are known by their references.
func (d *differ) order() {
	for _, step := range d.plan.Steps {
		for _, other := range d.plan.Steps {
			if comesBefore(other, step) {
				step.needs(other)
			}
		}
	}
}

// comesBefore reports whether a step has to wait for another one because one of
// them deletes a resource, or because of the zone.
func comesBefore(other, step *Step) bool {
	switch {
	case step.Action == Delete && other.Action == Delete:
		return slices.Contains(step.Kind.row().deletedAfter, other.Kind) && !isOfAnotherMachine(other, step)
	case step.Kind == KindFlexibleIP && step.Action == Delete:
		return other.Kind == KindUserData // until it is written, the proxy uses the address
	case step.Kind == KindFlexibleIP && step.Action == Create:
		// The group is the first resource in a zone.
		return other.Kind == KindSecurityGroup && other.Action == Create && inSameZone(other, step)
	case step.Kind == KindSecurityGroup && step.Action == Delete:
		return other.Kind == KindServer && other.Action == Update // which may move the server to another group
	case step.Kind == KindPrivateNIC && step.Action != Delete:
		// A second server may hold the address, and no other step waits for its
		// deletion. The temporary machine has an address of its own, and is deleted last.
		return other.Kind == KindServer && other.Action == Delete && !other.replaced && (other.Role != roleSpare || step.Role == roleSpare)
	case step.Kind == KindPrivateIP && step.Action != Delete:
		return other.Kind == KindPrivateIP && (other.Action == Delete && haveSamePrivateIP(other, step) || other.Action != Delete && choosesAfter(step, other))
	default:
		return false
	}
}

// isOfAnotherMachine reports whether a deletion frees nothing that the deletion of a private
// address waits for, because it belongs to the replacement of another machine, which may
// come later.
func isOfAnotherMachine(other, step *Step) bool {
	return other.replaced && step.Kind == KindPrivateIP && other.Role != step.Role
}

// haveSamePrivateIP reports whether two steps are about one address: machines may have
// exchanged theirs.
func haveSamePrivateIP(a, b *Step) bool {
	one, ok := a.resource.(*PrivateIP)
	other, both := b.resource.(*PrivateIP)
	return ok && both && one.Address == other.Address
}

// choosesAfter reports whether IPAM chooses the address of a step, and not that of another
// one, which it must not choose.
func choosesAfter(step, other *Step) bool {
	free, ok := step.resource.(*PrivateIP)
	fixed, both := other.resource.(*PrivateIP)
	return ok && both && free.Free && !fixed.Free
}

func inSameZone(a, b *Step) bool { return ZoneOf(a.resource) == ZoneOf(b.resource) }
