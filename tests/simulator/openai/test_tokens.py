from simulator.openai.tokens import block_hashes, chat_text, encode, encode_ids, token_count, token_ids, token_texts


def test_a_token_is_four_bytes_and_the_last_may_be_short():
    assert ["Hell", "o"] == token_texts(encode("Hello"))
    assert 2 == token_count(encode("Hello"))
    assert 0 == token_count(encode(""))


def test_ids_name_the_same_prompt_as_its_text():
    assert encode("Hello wheel") == encode_ids(token_ids(encode("Hello wheel")))


def test_a_character_split_between_tokens_shows_as_a_replacement():
    assert ["abc\ufffd", "\ufffd"] == token_texts(encode("abcé"))


def test_a_lone_surrogate_is_counted_and_not_an_error():
    assert 1 == token_count(encode("\ud800"))


def test_prompts_share_block_hashes_up_to_the_first_difference():
    common = "x" * 64 * 3
    one, other = block_hashes(encode(common + "a" * 64), "m", 16), block_hashes(encode(common + "b" * 64), "m", 16)

    assert one[:3] == other[:3]
    assert one[3] != other[3]


def test_a_part_filled_block_has_no_hash():
    assert 1 == len(block_hashes(encode("x" * 124), "m", 16))


def test_an_adapter_shares_no_block_with_its_base_model():
    prompt = encode("x" * 128)

    assert set(block_hashes(prompt, "base", 16)).isdisjoint(block_hashes(prompt, "adapter", 16))


def test_the_chat_template_holds_roles_text_parts_and_tools():
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "image_url", "image_url": {"url": "u"}}]},
        {"role": "assistant", "content": None},
    ]

    text = chat_text(messages, [{"name": "t"}])

    assert (
        '<|tools|>[{"name":"t"}]<|end|><|system|>Be brief.<|end|><|user|>Hi<|end|><|assistant|><|end|><|assistant|>'
        == text
    )


def test_a_conversation_that_goes_on_keeps_its_prefix():
    first = [{"role": "user", "content": "x" * 300}]
    then = [*first, {"role": "assistant", "content": "y"}, {"role": "user", "content": "z"}]

    early, late = (block_hashes(encode(chat_text(messages)), "m", 16) for messages in (first, then))

    assert early == late[: len(early)]
    assert len(early) >= 4
