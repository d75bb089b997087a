/* SPDX-License-Identifier: Apache-2.0 */
#include "eval/evaluator.h"

#include "base/size.h"

static const struct espi_evaluator evaluators[] = {
#define EVALUATOR(task, open, metric_new, score) {&espi_task_##task, open, metric_new, score},
#include "eval/evaluators.inc"
#undef EVALUATOR
};

enum task_count {
#define TASK(name) COUNT_##name,
#include "tasks/tasks.inc"
#undef TASK
    TASKS
};
_Static_assert(ESPI_COUNT(evaluators) == TASKS, "evaluators.inc has a row for each row of tasks.inc");

const struct espi_evaluator *espi_evaluator_of(const struct espi_task *task)
{
    const struct espi_evaluator *evaluator = evaluators;
    while (evaluator->task != task)
        evaluator++;
    return evaluator;
}
