// Command originals decides by Knative's and Kubernetes' own code: a JSON line in, a JSON line out, until the input ends.
//
// A line is a case of one kind: {"kpa": ...}, {"hpa": ...} or {"limits": ...}; the answer has the decision of each of its steps.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
)

type problem struct {
	KPA    *kpaCase    `json:"kpa"`
	HPA    *hpaCase    `json:"hpa"`
	Limits *limitsCase `json:"limits"`
}

func main() {
	in, out := bufio.NewReaderSize(os.Stdin, 1<<20), bufio.NewWriter(os.Stdout)
	defer out.Flush()
	decoder, encoder := json.NewDecoder(in), json.NewEncoder(out)
	decoder.DisallowUnknownFields()
	for decoder.More() {
		var each problem
		if err := decoder.Decode(&each); err != nil {
			fail(err)
		}
		var answer any
		switch {
		case each.KPA != nil:
			answer = each.KPA.decide()
		case each.HPA != nil:
			answer = each.HPA.decide()
		case each.Limits != nil:
			answer = each.Limits.decide()
		default:
			fail(fmt.Errorf("a case of no kind"))
		}
		if err := encoder.Encode(answer); err != nil {
			fail(err)
		}
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "originals:", err)
	os.Exit(1)
}
