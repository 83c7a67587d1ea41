"""SAC with demonstrations: a cloned start, a cloning term, and a share of each batch."""

from r2s_algos_common.demonstrations import known_answers
from r2s_algos_sac.config import SACConfig
from r2s_algos_sac.train import make

SMALL = {
    "hidden_sizes": (16,),
    "num_steps": 4,
    "batch_size": 32,
    "update_to_data_ratio": 4,
    "learning_starts": 32,
    "buffer_size": 4096,
}


def _make(env, **options):
    return make(env, SACConfig(**{**SMALL, **options}))


def test_a_cloned_start_reproduces_the_labels():
    known_answers.check_cloned_start(_make)


def test_the_critics_warm_up_the_term_falls_and_resuming_is_exact():
    def critics(learner):
        return learner.agent.networks.critics.online

    known_answers.check_schedules_and_resuming(_make, critics, demonstration_share=0.5)


def test_options_without_what_they_need_are_refused():
    known_answers.check_options_are_refused(_make)


def test_half_batches_of_demonstrations_open_a_lock_that_random_actions_do_not():
    options = {"batch_size": 128, "update_to_data_ratio": 8, "discount": 0.95}
    options |= {"learning_rate": 3e-3, "target_update_rate": 0.05, "hidden_sizes": (32,)}
    known_answers.check_lock(_make, 60, demonstration_share=0.5, **options)
