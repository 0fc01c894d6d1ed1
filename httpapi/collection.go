package httpapi

import (
	"encoding/json"
	"runtime"
	"sync"
)

// sideBySide is how many items a processor must get for a list to be shared out.
const sideBySide = 32

// Collection answers 200 with a list under its name and, where there are any,
// its links, as the Compute API writes them: {"servers": […], "servers_links":
// […]}. The n items are made by calls of item, and encoded, side by side on the
// machine's processors: for long lists of what is big. The calls must not change
// what they share.
func Collection(name string, n int, item func(i int) (any, error), links []Link) (*Response, error) {
	workers := max(1, min(runtime.GOMAXPROCS(0), n/sideBySide))
	parts, failed := make([]*buffer, workers), make([]error, workers)
	panics := make([]any, workers)
	var wait sync.WaitGroup
	for w := range workers {
		parts[w] = getBuffer()
		defer putBuffer(parts[w])
		work := func() {
			defer func() { panics[w] = recover() }()
			failed[w] = parts[w].items(w*n/workers, (w+1)*n/workers, item)
		}
		if w == workers-1 {
			work()
		} else {
			wait.Go(work)
		}
	}
	wait.Wait()
	size := len(name)*2 + 64
	for w := range parts {
		if panics[w] != nil {
			panic(panics[w]) // where it becomes an answer
		}
		if failed[w] != nil {
			return nil, failed[w]
		}
		size += parts[w].Len() + 1
	}
	body := make(json.RawMessage, 0, size)
	body = append(append(append(body, `{"`...), name...), `":[`...)
	for w, part := range parts {
		if w > 0 {
			body = append(body, ',')
		}
		body = append(body, part.Bytes()...)
	}
	body = append(body, ']')
	if len(links) > 0 {
		tail := getBuffer()
		defer putBuffer(tail)
		if err := tail.encode(links); err != nil {
			return nil, err
		}
		body = append(append(append(body, `,"`...), name...), `_links":`...)
		body = append(body, tail.Bytes()...)
	}
	return OK(append(body, '}')), nil
}

// items appends the items from one to before another, with commas between them.
func (b *buffer) items(from, to int, item func(int) (any, error)) error {
	for i := from; i < to; i++ {
		if i > from {
			b.WriteByte(',')
		}
		v, err := item(i)
		if err != nil {
			return err
		}
		if err := b.encode(v); err != nil {
			return err
		}
	}
	return nil
}
