// Command envsubst does to texts what Flux's post-build substitution does, by the very package that Flux does it with.
//
// It reads {"variables": {...}, "texts": [...]} and writes a list of {"text": ...} or {"error": ...}. As in Flux without the feature
// gate StrictPostBuildSubstitutions, a variable without a value is empty.
package main

import (
	"encoding/json"
	"log"
	"os"

	"github.com/fluxcd/pkg/envsubst"
)

type question struct {
	Variables map[string]string `json:"variables"`
	Texts     []string          `json:"texts"`
}

type answer struct {
	Text  string `json:"text"`
	Error string `json:"error,omitempty"`
}

func main() {
	var asked question
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		log.Fatal(err)
	}
	answers := make([]answer, 0, len(asked.Texts))
	for _, text := range asked.Texts {
		answers = append(answers, substitute(text, asked.Variables))
	}
	if err := json.NewEncoder(os.Stdout).Encode(answers); err != nil {
		log.Fatal(err)
	}
}

func substitute(text string, variables map[string]string) answer {
	result, err := envsubst.Eval(text, func(name string) (string, bool) { return variables[name], true })
	if err != nil {
		return answer{Error: err.Error()}
	}
	return answer{Text: result}
}
