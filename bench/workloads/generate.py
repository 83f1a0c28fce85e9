#!/usr/bin/env python3
"""usage: bench/workloads/generate.py

Writes the workloads of bench/structured beside itself, from a fixed seed: the same bytes each time.
Every text is composed of the phrases below, so that no line is anybody's.

sentiment500.jsonl  500 short reviews, one instruction that all share, an enum of three (text/x.enum)
receipts200.jsonl   200 receipts, an object of six fields: strings, numbers, a date, enums
articles100.jsonl   100 articles of some 450 words, an object of an enum, an array and two sentences
"""
import json
import pathlib
import random

HERE = pathlib.Path(__file__).resolve().parent
SEED = 20261130


def line(key, system, text, config):
    request = {"systemInstruction": {"parts": [{"text": system}]},
               "contents": [{"role": "user", "parts": [{"text": text}]}],
               "generationConfig": {"temperature": 0, **config}}
    return json.dumps({"key": key, "request": request}, ensure_ascii=False)


def write(name, lines):
    (HERE / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


# ---- Reviews ----

PLACES = ["hotel", "restaurant", "campsite", "hostel", "café", "guest house", "spa", "museum shop"]
GOOD = ["The staff remembered our names after the first day.", "Everything was spotless when we arrived.",
        "Breakfast was fresh, varied and served until eleven.", "We slept better than at home.",
        "They sorted out a missed train without being asked.", "The view from the terrace is worth the trip.",
        "Good value for a place this close to the centre.", "Our children did not want to leave.",
        "The soup alone would bring us back.", "Quiet, warm and thoughtfully furnished."]
BAD = ["We waited forty minutes before anybody noticed us.", "The bathroom had not been cleaned.",
       "The heating rattled all night and nobody came.", "We were charged twice and got no reply.",
       "The food was cold and the plate was chipped.", "The room smelled of smoke.",
       "The photos on the site must be ten years old.", "They lost our booking and shrugged.",
       "The wireless network never worked.", "The bed sagged so much that I slept on the floor."]
PLAIN = ["We stayed for two nights in March.", "It is a ten minute walk from the station.",
         "There were four of us.", "We had booked by telephone.", "Parking is behind the building.",
         "It was our second visit.", "The weather was mixed.", "We came for a family party."]
LABELS = ["positive", "negative", "mixed"]
SENTIMENT = (
    "You label reviews of places to stay and to eat. Read the whole review before you decide. Answer with "
    "exactly one word. Say positive when the guest would come again and nothing important went wrong. Say "
    "negative when the guest was let down and would not return. Say mixed when praise and complaint both "
    "matter. Facts about dates, distances and the number of guests say nothing about the sentiment.\n\n"
    "Review: Kind people and a lovely garden. We will be back.\nSentiment: positive\n\n"
    "Review: Dirty sheets, and the manager laughed at us.\nSentiment: negative\n\n"
    "Review: Superb dinner, but the room was loud and cold.\nSentiment: mixed")


def reviews(rng):
    config = {"maxOutputTokens": 16, "responseMimeType": "text/x.enum",
              "responseSchema": {"type": "STRING", "enum": LABELS}}
    for i in range(500):
        label = rng.choice(LABELS)
        said = {"positive": rng.sample(GOOD, 2), "negative": rng.sample(BAD, 2),
                "mixed": [rng.choice(GOOD), rng.choice(BAD)]}[label]
        said += rng.sample(PLAIN, rng.randint(0, 2))
        rng.shuffle(said)
        text = f"Review: A {rng.choice(PLACES)} by the {rng.choice(['lake', 'harbour', 'park', 'old mill'])}. "
        yield line(f"r{i:04}", SENTIMENT, text + " ".join(said) + "\nSentiment:", config)


# ---- Receipts ----

OWNERS = ["Miller", "Okafor", "Lindqvist", "Moreau", "Tanaka", "Novak", "Silva", "Hughes", "Rossi", "Keller"]
TRADES = {"Bakery": ["croissant", "rye bread", "coffee", "apple cake", "pretzel"],
          "Hardware": ["screws 4x40", "wood glue", "sandpaper", "paint brush", "LED lamp"],
          "Bookshop": ["notebook", "city map", "paperback", "postcard", "fountain pen"],
          "Pharmacy": ["plasters", "cough syrup", "sun cream", "toothbrush", "vitamin C"],
          "Garden": ["tulip bulbs", "potting soil", "watering can", "gloves", "seed tray"]}
RECEIPT = ("Extract the fields of the receipt. Give the vendor's name as printed, the date as year, month and "
           "day, the number of different articles, the total, the currency and the way of payment.")
RECEIPT_SCHEMA = {
    "type": "object", "additionalProperties": False,
    "properties": {"vendor": {"type": "string", "maxLength": 40},
                   "date": {"type": "string", "format": "date"},
                   "articles": {"type": "integer", "minimum": 0, "maximum": 99},
                   "total": {"type": "number", "minimum": 0, "maximum": 100000},
                   "currency": {"type": "string", "enum": ["EUR", "USD", "GBP", "CHF"]},
                   "payment": {"type": "string", "enum": ["cash", "card", "transfer"]}},
    "required": ["vendor", "date", "articles", "total", "currency", "payment"]}


def receipts(rng):
    config = {"maxOutputTokens": 128, "responseMimeType": "application/json",
              "responseJsonSchema": RECEIPT_SCHEMA}
    for i in range(200):
        trade = rng.choice(sorted(TRADES))
        currency = rng.choice(RECEIPT_SCHEMA["properties"]["currency"]["enum"])
        rows, total = [], 0
        for article in rng.sample(TRADES[trade], rng.randint(1, 5)):
            count, cents = rng.randint(1, 4), rng.randint(90, 4900)
            total += count * cents
            rows.append(f"{count} x {article:<16} {count * cents / 100:8.2f}")
        day = f"{rng.randint(2021, 2026)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
        text = "\n".join([f"{trade.upper()} {rng.choice(OWNERS).upper()}", f"{rng.randint(1, 99)} High Street",
                          f"Date: {day}  {rng.randint(8, 19):02}:{rng.randint(0, 59):02}", *rows,
                          f"TOTAL {currency} {total / 100:.2f}",
                          f"Paid by {rng.choice(['cash', 'card', 'transfer'])}. Thank you!"])
        yield line(f"b{i:04}", RECEIPT, text, config)


# ---- Articles ----

TOPICS = {
    "transport": ["tram line", "bridge", "cycle path", "ferry", "bus depot"],
    "health": ["clinic", "vaccination campaign", "hospital kitchen", "ambulance station", "care home"],
    "science": ["observatory", "seed bank", "weather balloon", "river survey", "robotics lab"],
    "culture": ["theatre", "choir festival", "library annex", "film archive", "street museum"],
    "economy": ["fish market", "shipyard", "bakery cooperative", "solar farm", "craft fair"],
}
TOWNS = ["Altmere", "Brunnfeld", "Carrow Bay", "Dunholm", "Eastwick", "Fjordby", "Granville", "Hollin"]
SENTENCES = [
    "The {thing} in {town} will {verb} in {month}, {months} months {later} than planned.",
    "According to {name}, who heads the project, the cost has {moved} to {millions} million.",
    "{name} said that residents had asked for a {thing} since {year}.",
    "A survey of {people} residents found that {share} per cent support the {thing}.",
    "Critics point out that the {thing} in {other} closed after only {months} months.",
    "The council of {town} voted {ayes} to {noes} for the plan on {weekday} evening.",
    "Work on the roof and the drains took longer because of the wet {month}.",
    "Volunteers collected {people} signatures and presented them to {name}.",
    "The neighbouring town of {other} has offered to share staff and machines.",
    "A first report counted {people} visitors in {month}, most of them from {other}.",
    "Engineers had to replace {people} bolts after an inspection in {year}.",
    "Schools may use the {thing} free of charge on every second {weekday}.",
    "{name} called the decision the most important for {town} since {year}.",
    "The contract with the previous operator ends in {month} and will not be renewed.",
    "Opponents fear noise at night and more traffic on the road to {other}.",
    "Half of the money comes from the region, the rest from a loan over {months} years.",
]
MONTHS = ["January", "March", "April", "June", "September", "October", "November"]
NAMES = ["Ida Berg", "Tomas Reyes", "Nkechi Obi", "Paul Arden", "Mei Lin Chow", "Sara Haddad"]
ARTICLE = ("Read the article. Give its section, three keywords, one sentence that says what happened and one "
           "sentence that says what comes next.")
ARTICLE_SCHEMA = {
    "type": "object", "additionalProperties": False,
    "properties": {"section": {"type": "string", "enum": sorted(TOPICS)},
                   "keywords": {"type": "array", "items": {"type": "string", "maxLength": 20},
                                "minItems": 3, "maxItems": 3},
                   "happened": {"type": "string", "maxLength": 160},
                   "next": {"type": "string", "maxLength": 160}},
    "required": ["section", "keywords", "happened", "next"]}


def sentence(rng, thing, town):
    return rng.choice(SENTENCES).format(
        thing=thing, town=town, other=rng.choice([t for t in TOWNS if t != town]), name=rng.choice(NAMES),
        month=rng.choice(MONTHS), months=rng.randint(3, 24), later=rng.choice(["later", "earlier"]),
        verb=rng.choice(["open", "close for repairs", "reopen", "be extended"]), year=rng.randint(1962, 2024),
        moved=rng.choice(["risen", "fallen"]), millions=rng.randint(2, 90), people=rng.randint(40, 9000),
        share=rng.randint(21, 89), ayes=rng.randint(11, 20), noes=rng.randint(1, 10),
        weekday=rng.choice(["Monday", "Tuesday", "Thursday", "Friday"]))


def articles(rng):
    config = {"maxOutputTokens": 192, "responseMimeType": "application/json",
              "responseJsonSchema": ARTICLE_SCHEMA}
    for i in range(100):
        topic, town = rng.choice(sorted(TOPICS)), rng.choice(TOWNS)
        thing = rng.choice(TOPICS[topic])
        paragraphs = [" ".join(sentence(rng, thing, town) for _ in range(rng.randint(4, 6)))
                      for _ in range(6)]
        yield line(f"a{i:04}", ARTICLE, "\n\n".join(paragraphs), config)


def main():
    for name, make in [("sentiment500.jsonl", reviews), ("receipts200.jsonl", receipts),
                       ("articles100.jsonl", articles)]:
        write(name, make(random.Random(f"{SEED} {name}")))


if __name__ == "__main__":
    main()
