"""What tokens cost: price book, rate cards, ways to pay."""
