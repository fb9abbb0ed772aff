//! HTTP/2 below the level of calls: floods of headers, of streams, and of frames that cost more to
//! answer than to send.

use super::Attacked;
use super::wire::{CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE, call, field};

const PATH: &str = "/curfew.v1.Credentials/IssueToken";

/// How many streams or frames a flood has.
const FLOOD: u32 = 20_000;

fn frames(attacked: &Attacked) -> Frames {
    attacked.runtime.block_on(Frames::open(&attacked.broker, &attacked.attacker))
}

/// The stream that a client opens as its `number`th.
const fn stream(number: u32) -> u32 {
    2 * number + 1
}

#[test]
fn continuation_without_end_is_cut_off() {
    let attacked = Attacked::new();
    let mut frames = frames(&attacked);
    let mut filler = Vec::new();
    field(&mut filler, "x-filler", &"a".repeat(16_000));
    let taken = attacked.runtime.block_on(async {
        frames.send(HEADERS, 0, 1, &call(PATH)).await;
        let mut taken = 0_usize;
        while taken < 64 << 20 && frames.send(CONTINUATION, 0, 1, &filler).await {
            taken += filler.len();
        }
        taken
    });
    // What stands in the buffers between both counts as sent.
    assert!(taken < 16 << 20, "{} MiB of headers were taken", taken >> 20);
    attacked.stands();
}

#[test]
fn long_lists_of_headers_are_refused_one_by_one() {
    let attacked = Attacked::new();
    let mut frames = frames(&attacked);
    attacked.runtime.block_on(async {
        for number in 0..500 {
            let mut block = call(PATH);
            (0..100).for_each(|header| field(&mut block, &format!("x-{header}"), &"b".repeat(200)));
            let (first, more) = block.split_at(16_000);
            if !(frames.send(HEADERS, END_STREAM, stream(number), first).await
                && frames.send(CONTINUATION, END_HEADERS, stream(number), more).await)
            {
                return;
            }
        }
    });
    attacked.stands();
}

#[test]
fn streams_that_are_opened_and_never_finished_take_nothing_from_others() {
    let attacked = Attacked::new();
    let mut frames = frames(&attacked);
    let block = call(PATH);
    attacked.runtime.block_on(async {
        for number in 0..FLOOD {
            // The head of a message of a mebibyte, which never comes.
            if !(frames.send(HEADERS, END_HEADERS, stream(number), &block).await
                && frames.send(DATA, 0, stream(number), &[0, 0, 15, 255, 255, 1]).await)
            {
                return;
            }
        }
    });
    attacked.others_are_served();
    drop(frames);
    attacked.stands();
}

/// CVE-2023-44487.
#[test]
fn rapid_reset_ends_the_connection() {
    let attacked = Attacked::new();
    let mut frames = frames(&attacked);
    let block = call(PATH);
    let closed = attacked.runtime.block_on(async {
        for number in 0..FLOOD {
            if !(frames.send(HEADERS, END_HEADERS, stream(number), &block).await
                && frames.send(RST_STREAM, 0, stream(number), &[0, 0, 0, 8]).await)
            {
                return true;
            }
        }
        frames.closes().await
    });
    assert!(closed, "{FLOOD} resets were taken");
    attacked.stands();
}

/// CVE-2025-8671: the peer makes the server reset.
#[test]
fn errors_that_make_the_broker_reset_streams_end_the_connection() {
    let block = call(PATH);
    // An increment of zero, and data beyond the end of the request.
    for (kind, payload) in [(WINDOW_UPDATE, &[0_u8; 4][..]), (DATA, &[0; 8][..])] {
        let attacked = Attacked::new();
        let mut frames = frames(&attacked);
        let closed = attacked.runtime.block_on(async {
            for number in 0..FLOOD {
                let flags = if kind == DATA { END_HEADERS | END_STREAM } else { END_HEADERS };
                if !(frames.send(HEADERS, flags, stream(number), &block).await && frames.send(kind, 0, stream(number), payload).await) {
                    return true;
                }
            }
            frames.closes().await
        });
        assert!(closed, "{FLOOD} resets were made, by frame {kind}");
        attacked.stands();
    }
}

#[test]
fn frames_whose_answers_are_never_read_are_not_heaped_up() {
    for (kind, payload) in [(PING, &[0_u8; 8][..]), (SETTINGS, &[0, 4, 0, 0, 255, 255][..])] {
        let attacked = Attacked::new();
        let mut frames = frames(&attacked);
        attacked.runtime.block_on(async {
            for _ in 0..200_000 {
                if !frames.send(kind, 0, 0, payload).await {
                    return;
                }
            }
            frames.flush().await;
        });
        attacked.others_are_served();
        drop(frames);
        attacked.stands();
    }
}
