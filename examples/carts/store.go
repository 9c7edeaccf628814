package main

import (
	"container/list"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"slices"
	"sync"
)

// Bounds of the store. The cart unused longest makes room for a new one.
const (
	maxCarts = 10_000
	maxItems = 1_000
)

var (
	errNoItem   = errors.New("the cart has no such item")
	errFullCart = errors.New("the cart is full; remove items first")
)

// item is one line of a cart.
type item struct {
	ID        string  `json:"id"`
	ItemID    string  `json:"itemId"`
	Quantity  int     `json:"quantity"`
	UnitPrice float64 `json:"unitPrice"`
}

// cart is what one customer has chosen.
type cart struct {
	ID         string `json:"id"`
	CustomerID string `json:"customerId"`
	Items      []item `json:"items"`
}

func (c *cart) find(itemID string) int {
	return slices.IndexFunc(c.Items, func(i item) bool { return i.ItemID == itemID })
}

// store keeps carts by customer. It is safe for concurrent use; what it
// returns are copies.
type store struct {
	mu    sync.Mutex
	carts map[string]*list.Element // of *cart
	used  *list.List               // latest first
	limit int
}

func newStore(limit int) *store {
	return &store{carts: map[string]*list.Element{}, used: list.New(), limit: limit}
}

// get returns the customer's cart, or nil; mu is held.
func (s *store) get(customer string) *cart {
	e, ok := s.carts[customer]
	if !ok {
		return nil
	}
	s.used.MoveToFront(e)
	return e.Value.(*cart)
}

// make returns the customer's cart, a new one if need be; mu is held.
func (s *store) make(customer string) *cart {
	if c := s.get(customer); c != nil {
		return c
	}
	if s.used.Len() >= s.limit {
		oldest := s.used.Back()
		delete(s.carts, s.used.Remove(oldest).(*cart).CustomerID)
	}
	c := &cart{ID: newID(), CustomerID: customer, Items: []item{}}
	s.carts[customer] = s.used.PushFront(c)
	return c
}

// cart returns the customer's cart; one that was never used is empty.
func (s *store) cart(customer string) cart {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.get(customer)
	if c == nil {
		return cart{CustomerID: customer, Items: []item{}}
	}
	copied := *c
	copied.Items = slices.Clone(c.Items)
	return copied
}

func (s *store) remove(customer string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.carts[customer]; ok {
		s.used.Remove(e)
		delete(s.carts, customer)
	}
}

// add puts an item into the cart, or one more of an item that is in it.
func (s *store) add(customer string, added item) (item, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.make(customer).add(added, 1)
}

// add puts the item into the cart, or n more of it if it is there already.
func (c *cart) add(added item, n int) (item, error) {
	if i := c.find(added.ItemID); i >= 0 {
		c.Items[i].Quantity += n
		return c.Items[i], nil
	}
	if len(c.Items) >= maxItems {
		return item{}, errFullCart
	}
	added.ID = newID()
	added.Quantity = max(added.Quantity, 1)
	c.Items = append(c.Items, added)
	return added, nil
}

// merge moves the items of a session's cart into the customer's.
func (s *store) merge(customer, session string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.carts[session]
	if !ok || session == customer {
		return nil
	}
	for _, i := range e.Value.(*cart).Items {
		if _, err := s.make(customer).add(i, i.Quantity); err != nil {
			return err
		}
	}
	s.used.Remove(e)
	delete(s.carts, session)
	return nil
}

// update sets quantity and price of an item that is in the cart.
func (s *store) update(customer string, changed item) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.get(customer)
	if c == nil || c.find(changed.ItemID) < 0 {
		return errNoItem
	}
	i := c.find(changed.ItemID)
	c.Items[i].Quantity = max(changed.Quantity, 1)
	if changed.UnitPrice > 0 {
		c.Items[i].UnitPrice = changed.UnitPrice
	}
	return nil
}

func (s *store) removeItem(customer, itemID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.get(customer); c != nil {
		c.Items = slices.DeleteFunc(c.Items, func(i item) bool { return i.ItemID == itemID })
	}
}

func newID() string {
	b := make([]byte, 12)
	rand.Read(b)
	return hex.EncodeToString(b)
}
