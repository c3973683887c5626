package main

import (
	"context"
	"fmt"
	_ "testing/synctest" // for bubble
	"time"
	_ "unsafe" // for go:linkname

	autoscaling "k8s.io/api/autoscaling/v2"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	v2 "k8s.io/kubernetes/pkg/apis/autoscaling/v2"
	"k8s.io/kubernetes/pkg/controller/podautoscaler"
)

// limitsCase is a series of recommendations, which delays and limits of change make decisions of.
type limitsCase struct {
	Least    int32                                        `json:"least"`
	Most     int32                                        `json:"most"`
	Behavior *autoscaling.HorizontalPodAutoscalerBehavior `json:"behavior"`
	Steps    []limitsStep                                 `json:"steps"`
}

// limitsStep is a recommendation, some seconds after the one before.
type limitsStep struct {
	AfterS  int   `json:"after_s"`
	Current int32 `json:"current"`
	Wish    int32 `json:"wish"`
}

type limitsAnswer struct {
	Desired []int32 `json:"desired"`
}

// The methods of Kubernetes' controller that follow a recommendation; other packages cannot call them by name.

//go:linkname begin k8s.io/kubernetes/pkg/controller/podautoscaler.(*HorizontalController).recordInitialRecommendation
func begin(a *podautoscaler.HorizontalController, current int32, key string)

//go:linkname normalize k8s.io/kubernetes/pkg/controller/podautoscaler.(*HorizontalController).normalizeDesiredReplicas
func normalize(a *podautoscaler.HorizontalController, hpa *autoscaling.HorizontalPodAutoscaler, key string, current, wish, least int32) int32

//go:linkname normalizeWithBehavior k8s.io/kubernetes/pkg/controller/podautoscaler.(*HorizontalController).normalizeDesiredReplicasWithBehaviors
func normalizeWithBehavior(a *podautoscaler.HorizontalController, hpa *autoscaling.HorizontalPodAutoscaler, key string, current, wish, least int32) int32

//go:linkname store k8s.io/kubernetes/pkg/controller/podautoscaler.(*HorizontalController).storeScaleEvent
func store(a *podautoscaler.HorizontalController, behavior *autoscaling.HorizontalPodAutoscalerBehavior, key string, before, after int32)

// bubble runs a function in virtual time, in which sleeping takes none.
//
//go:linkname bubble internal/synctest.Run
func bubble(f func())

// controller is one that was never started; each case has a key of its own.
var controller = func() *podautoscaler.HorizontalController {
	client := kubernetes.NewForConfigOrDie(&rest.Config{})
	shared := informers.NewSharedInformerFactory(client, 0)
	return podautoscaler.NewHorizontalController(
		context.Background(), client.CoreV1(), nil, client.AutoscalingV2(), nil, nil,
		shared.Autoscaling().V2().HorizontalPodAutoscalers(), shared.Core().V1().Pods(),
		15*time.Second, 5*time.Minute, 0.1, 0, 0)
}()

var cases int

func (c *limitsCase) decide() limitsAnswer {
	cases++
	answer, key := limitsAnswer{}, fmt.Sprint(cases)
	hpa := &autoscaling.HorizontalPodAutoscaler{}
	hpa.Spec.MinReplicas, hpa.Spec.MaxReplicas, hpa.Spec.Behavior = &c.Least, c.Most, c.Behavior
	v2.SetDefaults_HorizontalPodAutoscalerBehavior(hpa)
	bubble(func() {
		for _, step := range c.Steps {
			time.Sleep(time.Duration(step.AfterS) * time.Second)
			answer.Desired = append(answer.Desired, c.limit(hpa, key, step))
		}
	})
	return answer
}

// limit does what reconcileAutoscaler does around these methods.
func (c *limitsCase) limit(hpa *autoscaling.HorizontalPodAutoscaler, key string, step limitsStep) int32 {
	begin(controller, step.Current, key)
	desired := min(max(step.Current, c.Least), c.Most)
	if desired == step.Current {
		follow := normalize
		if hpa.Spec.Behavior != nil {
			follow = normalizeWithBehavior
		}
		desired = follow(controller, hpa, key, step.Current, step.Wish, c.Least)
	}
	if desired != step.Current {
		store(controller, hpa.Spec.Behavior, key, step.Current, desired)
	}
	return desired
}
